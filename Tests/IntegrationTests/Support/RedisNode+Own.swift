import LocalServices
import Redis

extension RedisNode {
    /// Does something with a connection to a Redis of its own, which is gone afterwards.
    static func withOwnServer(_ body: (RedisNode) async throws -> Void) async throws {
        let redis = try await LocalRedis.start(logger: testLogger)
        do {
            let node = RedisNode(try RedisConfiguration(url: redis.url), logger: testLogger)
            do {
                try await body(node)
            } catch {
                await node.close()
                throw error
            }
            await node.close()
        } catch {
            await redis.destroy()
            throw error
        }
        await redis.destroy()
    }
}
