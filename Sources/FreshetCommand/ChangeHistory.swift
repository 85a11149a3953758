import ArgumentParser
import ChangeFeed
import Keyspace
import Logging
import Redis

/// The streams of changes, as the commands read them.
struct ChangeHistory: Sendable {
    let reader: ChangeReader
    private let redis: RedisNode
    /// Of the streams.
    let keys: [String]

    /// - Parameter caches: The names of some caches; empty for all.
    init(_ settings: Settings, caches: [CacheName] = []) {
        // Silent: what fails is told once, by the command itself. The connection is nobody else's, because reads on it block.
        redis = RedisNode(settings.redis, logger: Logger(label: "freshet") { _ in SwiftLogNoOpLogHandler() })
        let wanted = caches.isEmpty ? CacheName.allCases : caches
        let namespaces = wanted.map { $0.namespace(beside: settings.namespace) }
        keys = namespaces.map { ChangeStream.key(of: $0) }
        reader = ChangeReader(namespaces, redis: redis)
    }

    /// Reads, and closes the connection, whatever happens.
    func reading<Result: Sendable>(
        _ body: @Sendable (ChangeReader) async throws -> Result
    ) async throws -> Result {
        let result: Swift.Result<Result, any Error>
        do { result = .success(try await body(reader)) } catch { result = .failure(error) }
        await redis.close()
        do {
            return try result.get()
        } catch let error as RedisServerError where error.code == .wrongType {
            throw Failure(noStreamAt: keys)
        }
    }
}

extension Failure {
    /// Something else lies under the key of a stream, or of one of several.
    init(noStreamAt keys: [String]) {
        self.init(
            .configuration,
            "Redis, \(keys.joined(separator: " or ")): holds something else than a stream of changes; UNLINK it"
        )
    }
}

/// A cache, by the name that it has in Postgres.
enum CacheName: String, ExpressibleByArgument, CaseIterable, Sendable {
    case workflows, datasources

    func namespace(beside first: CacheNamespace) -> CacheNamespace {
        self == .workflows ? first : first.sibling(named: rawValue)
    }
}

/// A length of time as people write it: `30s`, `10m`, `2h`, `7d`, or seconds.
struct TimeSpan: ExpressibleByArgument, Sendable {
    let duration: Duration

    init?(argument: String) {
        let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3_600, "d": 86_400]
        let unit = argument.last.flatMap { units[$0] }
        guard let number = Int64(unit == nil ? argument[...] : argument.dropLast()), number > 0,
            // Ten years are beyond any history, and far from any overflow.
            number <= 315_360_000 / (unit ?? 1)
        else { return nil }
        duration = .seconds(number * (unit ?? 1))
    }
}

/// Which changes are wanted.
struct ChangeFilter: ParsableArguments {
    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp(
            "Only of these tables, by the part they play: detector, workflow, link, datasource, datasource_link, "
                + "datasource_detector; or entry, namespace; several, where changes of more than one were folded.",
            valueName: "part"
        ),
        completion: .list(AppliedChange.tables)
    )
    var table: [String] = []

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp(
            "Only these: \(AppliedChange.operations.joined(separator: ", ")).",
            valueName: "operation"
        ),
        completion: .list(AppliedChange.operations)
    )
    var operation: [String] = []

    @Option(parsing: .upToNextOption, help: ArgumentHelp("Only by these applications.", valueName: "name"))
    var application: [String] = []

    @Option(parsing: .upToNextOption, help: ArgumentHelp("Only by these roles.", valueName: "name"))
    var user: [String] = []

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp("Only what invalidated these detectors, or may have.", valueName: "id")
    )
    var detector: [Int64] = []

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp("Only of these caches: workflows, datasources.", valueName: "cache")
    )
    var cache: [CacheName] = []

    func validate() throws {
        // A word that no record has would show nothing, for ever.
        for (flag, given, known) in [
            ("--table", table, AppliedChange.tables), ("--operation", operation, AppliedChange.operations),
        ] {
            guard let unknown = given.first(where: { !known.contains($0) }) else { continue }
            throw ValidationError("\(flag) \(unknown): give \(known.joined(separator: ", "))")
        }
    }

    func admits(_ change: AppliedChange) -> Bool {
        func admits(_ wanted: [String], _ text: String?) -> Bool {
            wanted.isEmpty || text.map(wanted.contains) == true
        }
        return admits(table, change.table) && admits(operation, change.operation)
            && admits(application, change.application) && admits(user, change.user)
            && (detector.isEmpty || detector.contains { change.invalidated.covers(Entity($0)) != .no })
    }

    /// The caches whose changes are read; a detector is one of the workflows' entities.
    var caches: [CacheName] { cache.isEmpty && !detector.isEmpty ? [.workflows] : cache }
}
