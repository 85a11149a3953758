import InvalidationWorker
import Logging
import Metrics
import Operations
import Prometheus
import Redis

/// The HTTP endpoint of a worker, and what it shows.
struct Endpoint {
    let server: HTTPServer
    private let site: Site

    /// Begins to answer, and counts metrics from now on; before anything is made that counts.
    ///
    /// - Returns: Nil where it is off, or where nobody asked for it and its address is in use: another worker of this machine
    ///   has it then, and this one works without.
    /// - Throws: ``Failure`` where the address that was asked for cannot be used.
    static func open(
        _ settings: Settings,
        state: WorkerState,
        redis: RedisNode,
        logger: Logger
    ) async throws -> Endpoint? {
        guard case .at(let address, let isAskedFor) = settings.http else { return nil }
        let registry = PrometheusRegistry(MetricCatalogue.counted)
        let site = Site(
            state: state,
            probe: ServersProbe(
                postgres: settings.postgres,
                redis: redis,
                namespace: settings.namespace,
                logger: logger,
                redact: Redaction.line
            ),
            registry: registry,
            version: RootCommand.version,
            showsPage: settings.showsPage
        )
        let server: HTTPServer
        do {
            server = try await site.serve(at: address)
        } catch {
            guard isAskedFor else {
                logger.warning(
                    "No status page and no metrics: give --http another address, or off",
                    metadata: ["http": "\(error)"]
                )
                return nil
            }
            throw Failure(.configuration, "--http \(error); give another address, or off")
        }
        MetricsSystem.bootstrap(registry)
        logger.info("Answering over HTTP", metadata: ["url": "http://\(server.address)/"])
        return Endpoint(server: server, site: site)
    }

    func close() async {
        await server.close()
        await site.close()
    }
}
