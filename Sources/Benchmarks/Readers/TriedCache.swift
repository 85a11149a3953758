import Freshet
import FreshetPostgres
import Keyspace
import Postgres
import Redis

/// A way to answer lookups that is tried, and what writers do for it.
protocol TriedCache: Sendable {
    /// The workflows of a detector, the global ones and those of an environment, and whether none had to be loaded.
    func read(_ detector: Int64, in environment: Int64) async throws -> (workflows: [Workflow], isHit: Bool)
    /// Called by a writer who has changed a workflow through the application's own code, after its commit.
    func hasChanged(workflow: Int64, on connection: PostgresConnection) async throws
}

extension TriedCache {
    func hasChanged(workflow: Int64, on connection: PostgresConnection) async throws {}
}

/// Every lookup is a query.
struct NoCache: TriedCache {
    let loader: PostgresWorkflowLoader

    func read(_ detector: Int64, in environment: Int64) async throws -> (workflows: [Workflow], isHit: Bool) {
        let keys = [Installation.key(detector, 0), Installation.key(detector, Int(environment))]
        let loaded = try await loader.load(keys)
        return (keys.flatMap { loaded.values[$0] ?? [] }, false)
    }
}

/// The library, with a near cache or without.
struct FreshetCache: TriedCache {
    let lookup: WorkflowLookup

    func read(_ detector: Int64, in environment: Int64) async throws -> (workflows: [Workflow], isHit: Bool) {
        let answer = try await lookup.workflows(ofDetector: detector, in: .environment(environment))
        guard let found = answer.detectors.first, answer.trust == .healthy else {
            throw NotWarm(description: "a lookup was \(answer.trust) while everything ran")
        }
        let isHit = [found.global, found.environment].allSatisfy { $0 == .hit || $0 == .near }
        return (found.workflows, isHit)
    }
}

/// What is usual: a set is kept for 60 seconds, and deleted by the application's own code after it has committed a change.
///
/// It has the mistakes that are usual as well: what is changed by other SQL is not deleted, and a load that began before a commit
/// stores its old value after the delete. Values have the same bytes as in Freshet's entries.
struct DeletingCache: TriedCache {
    static let timeToLive: Duration = .seconds(60)

    let redis: RedisNode
    let loader: PostgresWorkflowLoader
    /// What its keys begin with.
    let prefix: String

    func name(of key: DetectorWorkflowsKey) -> String { "\(prefix):\(key)" }

    func read(_ detector: Int64, in environment: Int64) async throws -> (workflows: [Workflow], isHit: Bool) {
        let keys = [Installation.key(detector, 0), Installation.key(detector, Int(environment))]
        let names = keys.map(name)
        let reply = try await redis.send(RedisCommand("MGET", arguments: names.map { .string($0) }), key: names[0])
            .get()
        guard let found = reply.array, found.count == keys.count else { throw NotWarm(description: "\(reply)") }
        var workflows: [Workflow] = []
        var missing: [DetectorWorkflowsKey] = []
        for (key, reply) in zip(keys, found) {
            if let bytes = reply.bytes {
                workflows += try WorkflowCodec.decode(bytes[...])
            } else {
                missing.append(key)
            }
        }
        guard !missing.isEmpty else { return (workflows, true) }
        let loaded = try await loader.load(missing)
        for key in missing {
            let value = loaded.values[key] ?? []
            workflows += value
            _ = try await redis.send(
                RedisCommand(
                    "SET",
                    .string(name(of: key)),
                    .bytes(WorkflowCodec.encode(value)),
                    "EX",
                    .string("\(Self.timeToLive.components.seconds)")
                ),
                key: name(of: key)
            ).get()
        }
        return (workflows, false)
    }

    func hasChanged(workflow: Int64, on connection: PostgresConnection) async throws {
        let links = try await connection.query(
            "SELECT detector_id FROM workflow_engine_detectorworkflow WHERE workflow_id = $1",
            [PostgresParameter(workflow)]
        )
        let environment = Int(workflow - 1) % Installation.setCount
        let names = try (0..<links.rowCount).compactMap { row in
            try links.int64(row, 0).map { name(of: Installation.key($0, environment)) }
        }
        guard let first = names.first else { return }
        _ = try await redis.send(RedisCommand("DEL", arguments: names.map { .string($0) }), key: first).get()
    }
}
