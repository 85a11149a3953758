import Keyspace
import Logging
import Redis
import ServiceLifecycle
import Synchronization
import Testing

@testable import ChangeFeed
@testable import InvalidationWorker

struct ChangePublisherTests {
    /// Answers the first write only when the service has been told to leave and that has had its effect.
    private final class HoldingRedis: RedisClient {
        struct Write: Equatable {
            var records: Int
            var isLast: Bool
        }

        private let writes = Mutex<[Write]>([])
        /// Ends when the first write is under way.
        let begun: AsyncStream<Void>
        private let begin: AsyncStream<Void>.Continuation

        init() {
            (begun, begin) = AsyncStream.makeStream()
        }

        var written: [Write] { writes.withLock { $0 } }

        func send(_ batches: [RedisBatch], timeLimit: Duration?) async throws(RedisError) -> [[RedisReply]] {
            if written.isEmpty {
                let (told, tell) = AsyncStream.makeStream(of: Void.self)
                await withGracefulShutdownHandler {
                    begin.finish()
                    for await _ in told {}
                } onGracefulShutdown: {
                    tell.finish()
                }
                // A task that the shutdown cancels is told of it a few steps later.
                for _ in 0..<1_000 where !Task.isCancelled { await Task.yield() }
            }
            if Task.isCancelled { throw RedisError(.cancelled, "cancelled") }
            // Each batch ends with the expiry of the stream.
            let count = batches.reduce(0) { $0 + $1.commands.count - 1 }
            writes.withLock { $0.append(Write(records: count, isLast: timeLimit != nil)) }
            return batches.map { $0.commands.map { _ in .integer(1) } }
        }
    }

    private func applied(_ count: Int) -> WorkerEvent {
        .applied(
            PassReport(
                namespace: .workflows,
                changes: (0..<count).map { _ in
                    PassReport.ChangeSummary(
                        subject: "detector",
                        operation: "update",
                        rowCount: 1,
                        scopes: ScopeSet([.entity(Entity(1))])
                    )
                },
                rowCount: Int64(count),
                scopes: ScopeSet([.entity(Entity(1))]),
                resetBuckets: [],
                bumpCount: 1,
                duration: .zero
            )
        )
    }

    @Test func `a write that is under way when the shutdown comes is finished, and what came meanwhile is written`()
        async throws
    {
        let redis = HoldingRedis()
        let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let publisher = ChangePublisher(redis: redis, length: 100, logger: quiet)
        let group = ServiceGroup(services: [publisher], logger: quiet)
        async let ended: Void = group.run()
        publisher.note(applied(2))
        for await _ in redis.begun {}
        publisher.note(applied(3))
        await group.triggerGracefulShutdown()
        try await ended
        #expect(redis.written.map(\.records) == [2, 3])
        // Whoever leaves does not wait for a Redis that is away as long as others do.
        #expect(redis.written.map(\.isLast) == [false, true])
    }
}
