import Freshet
import FreshetPostgres
import History
import Redis

/// What many applications have: a time to live, and keys that whoever has written deletes afterwards.
///
/// It is wrong on purpose, to show that its mistakes are found: a load that began before the write stores its old value after the
/// delete, bulk SQL deletes nothing, and what a crash or a restored Redis loses of deletes stays lost.
struct DeletingCache: Sendable {
    static let timeToLive: Duration = .seconds(60)

    let redis: RedisNode
    let loader: PostgresWorkflowLoader

    private static func name(_ key: HistoryKey) -> String { "plain:\(key.detector):\(key.environment)" }

    func values(
        of keys: [HistoryKey]
    ) async throws -> [(key: HistoryKey, source: Lookup.Source, value: String)] {
        let names = keys.map { RedisArgument.string(Self.name($0)) }
        let reply = try await redis.send(RedisCommand("MGET", arguments: names), key: Self.name(keys[0])).get()
        let found = reply.array ?? []
        var answers: [(key: HistoryKey, source: Lookup.Source, value: String)] = []
        var missing: [HistoryKey] = []
        for (key, reply) in zip(keys, found) {
            if let value = reply.string { answers.append((key, .hit, value)) } else { missing.append(key) }
        }
        guard !missing.isEmpty else { return answers }
        let asked = missing.map { key in
            DetectorWorkflowsKey(
                detectorID: Int64(key.detector),
                environment: key.environment == 0 ? .global : .environment(Int64(key.environment))
            )
        }
        let loaded = try await loader.load(asked)
        for (key, asked) in zip(missing, asked) {
            let value = ChaosData.text(of: loaded.values[asked] ?? [])
            answers.append((key, .loaded, value))
            _ = try await redis.send(
                RedisCommand(
                    "SET",
                    .string(Self.name(key)),
                    .string(value),
                    "EX",
                    .string("\(Self.timeToLive.components.seconds)")
                ),
                key: Self.name(key)
            )
        }
        return answers
    }

    /// What a writer does after its commit.
    static func delete(_ keys: [HistoryKey], from redis: RedisNode) async throws {
        let names = keys.map { RedisArgument.string(name($0)) }
        _ = try await redis.send(RedisCommand("DEL", arguments: names), key: name(keys[0]))
    }
}
