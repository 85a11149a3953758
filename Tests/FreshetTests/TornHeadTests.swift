import Freshet
import Keyspace
import Logging
import Redis
import Testing

/// A full Redis refuses transactions, so the head is read twice around the entries.
///
/// No real server can be made to have a pass fall in between at will, hence one that answers from a list.
struct TornHeadTests {
    private func bulk(_ text: String) -> RedisReply { .bulk(Array(text.utf8)) }

    private func head(vouched: Int) -> RedisReply {
        .array([bulk("1.0000000000000001"), bulk(String(vouched)), bulk("5000"), bulk("1/1/a"), .null])
    }

    private var time: RedisReply { .array([bulk("1000"), bulk("0")]) }
    private var entity: RedisReply { .array([bulk("1.0000000000000002"), .null, .null]) }

    private func lookup(_ redis: ScriptedRedis) throws -> WorkflowLookup {
        var options = CacheOptions()
        options.registry = CacheRegistry()
        return try WorkflowLookup(
            redis: redis,
            options: options,
            loader: { keys in
                LoadedValues(values: Dictionary(keys.map { ($0, []) }) { first, _ in first }, postgres: "1/1/a")
            },
            logger: Logger(label: "test")
        )
    }

    private func refused(_ count: Int) -> [RedisReply] {
        Array(repeating: .error(RedisServerError(line: "OOM command not allowed")), count: count)
    }

    @Test func `a head that changed while a full Redis was read vouches for nothing, and nothing is stored`()
        async throws
    {
        let redis = ScriptedRedis([
            [refused(3)],
            [[head(vouched: 999_000_000), time, entity, head(vouched: 999_500_000)]],
        ])
        let answer = try await lookup(redis).workflows(ofDetectors: [1])
        #expect(answer.trust == .degraded)
        #expect(answer.workflows == [])
        #expect(redis.requestCount == 2)
    }

    @Test func `a head that stayed the same while a full Redis was read counts`() async throws {
        let redis = ScriptedRedis([
            [refused(3)],
            [[head(vouched: 999_000_000), time, entity, head(vouched: 999_000_000)]],
            [[.array([bulk("1.0000000000000002"), bulk(""), bulk("mine")])]],
            [[bulk("stored")]],
        ])
        let answer = try await lookup(redis).workflows(ofDetectors: [1])
        #expect(answer.trust == .healthy)
        #expect(redis.requestCount == 4)
    }
}
