import Keyspace
import Redis
import Testing

/// What a bump of a pass does to Redis, beyond what single vectors say.
struct BumpScriptTests {
    private func bump(
        _ entities: [(entity: Entity, variants: ScopeSet.Variants)],
        _ limits: KeyspaceLimits,
        on node: RedisNode
    ) async throws -> RedisReply? {
        let fence = BucketPass.Fence(mark: "", postgres: "")
        let pass = BucketPass(expected: fence, next: fence, vouched: nil, snapshot: nil, entities: entities)
        return try await run(
            .apply,
            pass.keys(bucket: 0, in: .workflows),
            pass.arguments(nonce: 255, limits: limits),
            on: node
        )
    }

    private func run(
        _ script: KeyspaceScript,
        _ keys: [String],
        _ arguments: [String],
        on node: RedisNode
    ) async throws -> RedisReply? {
        var batch = RedisBatch(key: keys[0])
        batch.append(
            RedisScript(name: script.name, source: script.source),
            keys: keys,
            arguments: arguments.map { .string($0) }
        )
        return try await node.send([batch]).first?.first
    }

    @Test func `after any bump there is room for a fill`() async throws {
        var limits = KeyspaceLimits()
        limits.variantsPerEntity = 2
        let (head, key) = (CacheNamespace.workflows.headKey(bucket: 0), CacheNamespace.workflows.key(of: Entity(17)))
        try await RedisNode.withOwnServer { node in
            func send(_ words: String...) async throws -> RedisReply {
                try await node.send(RedisCommand(words[0], arguments: words.dropFirst().map { .string($0) }), key: key)
            }
            // More variants are read than are kept apart for certain, and only two of them are ever changed.
            let generation = "1.00000000000000aa"
            _ = try await send("HSET", head, "gen", generation)
            _ = try await send("HSET", key, "g", generation, "g:7", generation, "g:-", generation)
            for variant in 100..<104 { _ = try await send("HSET", key, "e:\(variant)", "entry") }
            _ = try await bump([(Entity(17), .some([Variant(7), .global]))], limits, on: node)
            let entity = try #require(try await send("HGET", key, "g").string)
            let variant = try await send("HGET", key, "g:7").string ?? ""
            let time = try #require(try await send("TIME").serverTimeInMicroseconds)
            let answer = try await run(
                .fill,
                [head, key, key + ":c:7"],
                [generation, entity, variant, "7", "entry", "\(time)", "60000000", "60000", "2", ""],
                on: node
            )
            #expect(answer?.string == "stored")
        }
    }

    @Test func `what a script removes goes in few commands, however much it is`() async throws {
        let count = 1_001
        try await RedisNode.withOwnServer { node in
            let entities = (0..<count).map { (entity: Entity(Int64($0)), variants: ScopeSet.Variants.every) }
            let keys = entities.map { CacheNamespace.workflows.key(of: $0.entity) }
            // One is no hash, and one is not there.
            _ = try await node.send(RedisCommand("SET", .string(keys[5]), "x"), key: keys[5])
            for (place, key) in keys.enumerated() where place != 5 && place != 6 {
                let fields: [RedisArgument] = [.string(key), "g", "4.00000000000000aa", "e:-", "entry"]
                _ = try await node.send(RedisCommand("HSET", arguments: fields), key: key)
            }
            _ = try await node.send(RedisCommand("CONFIG", "RESETSTAT"), key: "")
            let reply = try await bump(entities, KeyspaceLimits(), on: node)
            guard case .array(let fields) = reply else {
                Issue.record("\(String(describing: reply))")
                return
            }
            // Entities, variants, absent, damaged.
            #expect(fields.dropFirst(2).map(\.int64) == [Int64(count) - 2, 0, 1, 1])
            let stats = try await node.send(RedisCommand("INFO", "commandstats"), key: "").string ?? ""
            #expect(stats.contains("cmdstat_unlink:calls=1,"))
            #expect(!stats.contains("cmdstat_hlen"))
            for (place, key) in keys.enumerated() where place % 250 == 0 {
                let found = try await node.send(RedisCommand("HGETALL", .string(key)), key: key)
                #expect(found.array?.map(\.string) == ["g", "5.00000000000000ff"])
                #expect(try await node.send(RedisCommand("PTTL", .string(key)), key: key).int64 ?? 0 > 0)
            }
            #expect(try await node.send(RedisCommand("EXISTS", .string(keys[5])), key: keys[5]).int64 == 0)
        }
    }
}
