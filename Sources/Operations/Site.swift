// What is answered at which path.
//
// | path | what |
// |---|---|
// | `/metrics` | for Prometheus |
// | `/healthz` | 200 while the process works: 503 where its loop has stood still, and not because it waits for a claim |
// | `/readyz` | 200 where both servers answer and this worker leads and vouches, or stands by; else 503, with what is not well |
// | `/` | the status page, which asks for |
// | `/status.json` | what the page shows |
//
// Nothing can be changed here, and nothing is secret: errors of servers come as they are logged, without passwords. Still not all of
// it is everybody's business (names of tables, of applications, of database roles), so that:
// * where it listens on loopback, a request must name a host by its address or as localhost. A web page that was made to resolve to
//   127.0.0.1 would let any site that the owner of the machine visits read this one.
// * the page runs no script and no style but its own, loads nothing, and is shown in no frame. It puts what it was told into text
//   nodes only, never into markup.

import Glibc
import Keyspace
package import Prometheus

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Answers what is asked of a worker over HTTP.
package struct Site: Sendable {
    private let state: WorkerState
    private let probe: ServersProbe
    private let registry: PrometheusRegistry
    private let version: String
    private let showsPage: Bool

    /// For how long the loop of a worker may begin nothing while it does not wait for a claim: longer than any other step takes, and
    /// as long as the watchdog of the service waits.
    static let stillTimeLimit = Duration.seconds(45)

    /// - Parameters:
    ///   - version: Of this program.
    ///   - showsPage: Whether there is a status page.
    package init(
        state: WorkerState,
        probe: ServersProbe,
        registry: PrometheusRegistry,
        version: String,
        showsPage: Bool
    ) {
        self.state = state
        self.probe = probe
        self.registry = registry
        self.version = version
        self.showsPage = showsPage
    }

    /// Begins to answer.
    ///
    /// - Throws: `HTTPServer.BindFailure`.
    package func serve(at address: HTTPAddress) async throws(HTTPServer.BindFailure) -> HTTPServer {
        try await HTTPServer.listen(at: address, answer: answer)
    }

    /// Ends what was opened to answer.
    package func close() async {
        await probe.close()
    }

    @Sendable func answer(_ question: HTTPQuestion) async -> HTTPAnswer {
        guard !question.isLoopback || question.host.map(Self.isLocal) ?? false else {
            return .line(421, "Ask for 127.0.0.1 or localhost: this answers to its own machine only")
        }
        let path = String(question.target.prefix { $0 != "?" })
        let isPage = path == "/" || path == "/status.json"
        guard ["/metrics", "/healthz", "/readyz"].contains(path) || (showsPage && isPage) else {
            return .line(404, "Not found; there is \(showsPage ? "/ /status.json " : "")/metrics /healthz /readyz")
        }
        guard question.method == "GET" || question.method == "HEAD" else {
            return .line(405, "Only GET and HEAD", ["Allow": "GET, HEAD"])
        }
        switch path {
        case "/metrics": return await metrics()
        case "/healthz": return health()
        case "/readyz": return await readiness()
        case "/status.json": return await status()
        default: return page()
        }
    }

    private func metrics() async -> HTTPAnswer {
        let measured = Measurements(
            version: version,
            look: await probe.look(),
            caches: state.snapshot.caches.keys,
            usage: .current()
        )
        return HTTPAnswer(
            status: 200,
            contentType: PrometheusRegistry.contentType,
            body: registry.text() + measured.text()
        )
    }

    private func health() -> HTTPAnswer {
        let known = state.snapshot
        let still = known.progress.at.duration(to: known.now)
        guard !known.isClaimUnderWay, still > Self.stillTimeLimit else { return .line(200, "ok") }
        return .line(503, "the loop has stood still for \(Int(still.inSeconds)) s (\(known.progress.step))")
    }

    private func readiness() async -> HTTPAnswer {
        let readiness = Readiness(state.snapshot, await probe.look())
        return HTTPAnswer(status: readiness.isReady ? 200 : 503, body: readiness.text)
    }

    private func status() async -> HTTPAnswer {
        let document = StatusDocument(
            state.snapshot,
            await probe.look(),
            usage: .current(),
            version: version
        )
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            return HTTPAnswer(
                status: 200,
                contentType: "application/json",
                body: String(decoding: try encoder.encode(document), as: UTF8.self)
            )
        } catch {
            return .line(500, "The status cannot be written as JSON")
        }
    }

    /// The page, with a password of its own for its script and its style: nobody else's run.
    private func page() -> HTTPAnswer {
        var generator = SystemRandomNumberGenerator()
        let nonce = Generation.nonceText(generator.next()) + Generation.nonceText(generator.next())
        let policy = [
            "default-src 'none'", "script-src 'nonce-\(nonce)'", "style-src 'nonce-\(nonce)'", "connect-src 'self'",
            "img-src data:", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
        ]
        return HTTPAnswer(
            status: 200,
            contentType: "text/html; charset=utf-8",
            headers: [
                "Content-Security-Policy": policy.joined(separator: "; "),
                "Referrer-Policy": "no-referrer",
                "X-Frame-Options": "DENY",
                "Cross-Origin-Resource-Policy": "same-origin",
            ],
            body: Self.html.replacing("{{nonce}}", with: nonce)
        )
    }

    private static let html = String(decoding: PackageResources.status_html, as: UTF8.self)

    /// Whether a name cannot be somebody else's: an address, or localhost.
    static func isLocal(_ host: String) -> Bool {
        guard let name = HTTPAddress(host)?.host ?? HTTPAddress("\(host):0")?.host else { return false }
        if name.lowercased() == "localhost" { return true }
        var address = in6_addr()
        return inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1
    }
}
