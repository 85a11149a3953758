import Freshet
import Keyspace
import LocalServices
import Redis

/// A reader with a near cache, and what a test needs to know of it.
struct NearReader: Sendable {
    let lookup: WorkflowLookup

    /// What a lookup for one detector returns, and where each of its two sets came from.
    func read(
        _ detector: Int64,
        _ environment: DetectorEnvironment = .environment(5)
    ) async throws -> (ids: [Int64], global: AnswerSource, environment: AnswerSource?, trust: Trust) {
        let answer = try await lookup.workflows(ofDetector: detector, in: environment)
        guard let found = answer.detectors.first else { return ([], .miss(.absent), nil, answer.trust) }
        return (found.workflows.map(\.id), found.global, found.environment, answer.trust)
    }

    /// Whether a lookup is answered from memory as a whole.
    func isNear(_ detector: Int64, _ environment: DetectorEnvironment = .environment(5)) async throws -> Bool {
        let found = try await read(detector, environment)
        return found.global == .near && (found.environment ?? .near) == .near
    }

    /// Reads until a lookup is answered from memory.
    func warm(_ detector: Int64, _ environment: DetectorEnvironment = .environment(5)) async throws {
        _ = try await eventually("an answer from memory") { [self] in
            try await isNear(detector, environment) ? true : nil
        }
    }

    /// Reads until a lookup is not answered from memory, and returns that answer.
    @discardableResult
    func coolsDown(
        within limit: Duration = .seconds(20),
        _ detector: Int64 = 1,
        _ environment: DetectorEnvironment = .environment(5)
    ) async throws -> (ids: [Int64], trust: Trust) {
        try await eventually("an answer that is not from memory", within: limit) { [self] in
            let found = try await read(detector, environment)
            return found.global == .near && found.environment == .near ? nil : (found.ids, found.trust)
        }
    }
}

extension Scenario {
    /// Runs `body` beside a reader with a near cache.
    ///
    /// - Parameter url: Where its connections go; nil is the server of the scenario.
    func withNearReader(
        limits: NearCacheLimits = NearCacheLimits(),
        pollInterval: Duration = .milliseconds(500),
        url: String? = nil,
        _ body: (NearReader) async throws -> Void
    ) async throws {
        var options = self.options
        var near = NearCacheOptions(redis: try RedisConfiguration(url: url ?? servers.redis.url))
        near.limits = limits
        near.pollInterval = pollInterval
        options.nearCache = near
        let lookup = try reader(options: options)
        let running = Task { try await lookup.run() }
        do {
            try await body(NearReader(lookup: lookup))
        } catch {
            running.cancel()
            try await running.value
            throw error
        }
        running.cancel()
        try await running.value
    }

    /// Ends the connections of this name, as a network or an administrator would.
    func killClients(named name: String) async throws {
        let list = try await command("CLIENT", "LIST").string ?? ""
        for line in list.split(separator: "\n") where line.contains(" name=\(name)") {
            guard let id = line.split(separator: " ").first(where: { $0.hasPrefix("id=") })?.dropFirst(3) else {
                continue
            }
            try await command("CLIENT", "KILL", "ID", .string(String(id)))
        }
    }
}
