import Freshet
import Keyspace
import Logging
import Redis
import Testing

/// A worker may write the head between a read that found none and the seed of that read's load.
///
/// The schedule was found by the simulation; no real server can be made to have a pass fall in between at will.
struct SeededHeadTests {
    private func bulk(_ text: String) -> RedisReply { .bulk(Array(text.utf8)) }

    private var noHead: RedisReply { .array(Array(repeating: .null, count: 5)) }
    private var time: RedisReply { .array([bulk("1000"), bulk("0")]) }
    private var noEntity: RedisReply { .array([.null, .null, .null]) }
    private var claimed: RedisReply { .array([bulk("1.0000000000000002"), bulk(""), bulk("mine")]) }

    /// The scripts that a lookup runs whose value comes from a Postgres, where a worker of `7/2/new` came before its seed.
    private func scripts(loadingFrom postgres: String) async throws -> [String] {
        let redis = ScriptedRedis([
            [[noHead, time, noEntity]],
            [[bulk("1.0000000000000001"), .array([bulk("1.0000000000000001"), bulk("7/2/new")])]],
            [[claimed]],
            [[bulk("stored")]],
        ])
        var options = CacheOptions()
        options.registry = CacheRegistry()
        let lookup = try WorkflowLookup(
            redis: redis,
            options: options,
            loader: { keys in
                LoadedValues(values: Dictionary(keys.map { ($0, []) }) { first, _ in first }, postgres: postgres)
            },
            logger: Logger(label: "test")
        )
        _ = try await lookup.workflows(ofDetectors: [1])
        return redis.scripts
    }

    @Test func `what another Postgres answered is not stored under a head that came after the read`() async throws {
        let scripts = try await scripts(loadingFrom: "7/1/old")
        #expect(!scripts.contains("fill"))
    }

    @Test func `what the worker's own Postgres answered is`() async throws {
        let scripts = try await scripts(loadingFrom: "7/2/new")
        #expect(scripts == ["seed-namespace", "claim", "fill"])
    }
}
