import Redis
import Synchronization

/// A client that counts the pipelines it sends, each of which is a round trip.
final class RedisProbe: RedisClient {
    private let client: any RedisClient
    private let pipelines = Mutex<[Int]>([])

    init(_ client: any RedisClient) {
        self.client = client
    }

    /// For each pipeline, how many commands it had.
    var sent: [Int] { pipelines.withLock { $0 } }

    func send(_ batches: [RedisBatch], timeLimit: Duration?) async throws(RedisError) -> [[RedisReply]] {
        let count = batches.reduce(0) { $0 + $1.commands.count }
        pipelines.withLock { $0.append(count) }
        return try await client.send(batches, timeLimit: timeLimit)
    }
}
