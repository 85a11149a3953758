import Keyspace
import Redis
import Testing

@testable import ChangeFeed

struct ChangeReaderTests {
    /// Answers everything with the same.
    private struct RepeatingRedis: RedisClient {
        let reply: RedisReply

        func send(_ batches: [RedisBatch], timeLimit: Duration?) async throws(RedisError) -> [[RedisReply]] {
            batches.map { batch in batch.commands.map { _ in reply } }
        }
    }

    @Test(.timeLimit(.minutes(1))) func `a history whose pages do not go back has an end`() async throws {
        let entry = RedisReply.array([.bulk(Array("5-0".utf8)), .null])
        let page = RedisReply.array(Array(repeating: entry, count: ChangeReader.entriesPerPage))
        let reader = ChangeReader([.workflows], redis: RepeatingRedis(reply: page))
        let end = try await reader.end()
        #expect(try await reader.history(upTo: end).isEmpty)
    }
}
