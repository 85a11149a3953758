// Writes what a worker has applied to the stream, after the commit and beside the next pass: on a connection of its own, in a task of its own,
// behind a bounded buffer. A pass only puts its report into that. Whatever fails costs history, is counted, told once, and not
// tried again: what is written late would stand in the wrong place, and what matters is in the cache already.

package import InvalidationWorker
import Keyspace
package import Logging
package import Redis
import ServiceLifecycle
import Synchronization

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Publishes what a worker in this process applies.
package struct ChangePublisher: Service {
    private let redis: any RedisClient
    private let length: Int
    private let logger: Logger
    private let buffer = ReportBuffer()
    private let telemetry = ChangeFeedTelemetry()
    private let told = ToldTrouble()

    /// Between two writes, so that a worker that makes thousands of passes a second has them written together.
    private static let interval = Duration.milliseconds(50)
    /// So many records in one write at the most; the changes of more passes are folded.
    private static let recordsPerWrite = 256
    /// What is left at the end is written if Redis takes it at once.
    private static let lastTimeLimit = Duration.milliseconds(500)

    /// The default length of a stream: with records of 400 bytes, 4 MB.
    package static let defaultLength = 10_000
    /// The lengths that make sense.
    package static let lengths = 1...10_000_000

    /// - Parameters:
    ///   - redis: A connection that the worker does not use; it is not closed.
    ///   - length: About how many records a stream keeps.
    package init(redis: any RedisClient, length: Int, logger: Logger) {
        self.redis = redis
        self.length = length
        self.logger = logger
    }

    /// Takes what a worker tells; returns at once.
    @Sendable package func note(_ event: WorkerEvent) {
        guard case .applied(let report) = event else { return }
        buffer.add(report)
    }

    /// Writes until a graceful shutdown, and then what is left.
    ///
    /// Never throws: that would end the worker.
    package func run() async {
        // A shutdown ends the waiting, and no write: what that writes is in the buffer no more.
        await withGracefulShutdownHandler {
            for await _ in buffer.arrivals {
                await write(timeLimit: Task.isShuttingDownGracefully ? Self.lastTimeLimit : nil)
                // A pause that is cut short is as good.
                await cancelWhenGracefulShutdown { try? await Task.sleep(for: Self.interval) }
            }
        } onGracefulShutdown: {
            buffer.close()
        }
        await write(timeLimit: Self.lastTimeLimit)
    }

    private func write(timeLimit: Duration?) async {
        let (reports, lostChanges) = buffer.take()
        telemetry.lost(lostChanges, .dropped)
        guard !reports.isEmpty else { return }
        let now = Int64(Date().timeIntervalSince1970 * 1_000_000)
        let records = AppliedChange.records(of: reports, at: now, atMost: Self.recordsPerWrite)
        var byKey: [String: [AppliedChange]] = [:]
        let keys = Dictionary(
            reports.map { ("\($0.namespace)", ChangeStream.key(of: $0.namespace)) },
            uniquingKeysWith: { first, _ in first }
        )
        for record in records { byKey[keys[record.namespace] ?? "", default: []].append(record) }
        do {
            let parts = byKey.sorted { $0.key < $1.key }
            let batches = try parts.map { key, records in
                try ChangeStream.appending(records, toStreamAt: key, length: length)
            }
            let answers = try await redis.send(batches, timeLimit: timeLimit)
            for ((_, records), replies) in zip(parts, answers) { note(replies, to: records) }
        } catch {
            telemetry.lost(records.reduce(0) { $0 + $1.changes }, .unreachable)
            tell("\(error)")
        }
    }

    private func note(_ replies: [RedisReply], to records: [AppliedChange]) {
        var refusal: RedisServerError?
        for (record, reply) in zip(records, replies) {
            guard let error = reply.error else {
                telemetry.written()
                continue
            }
            refusal = error
            telemetry.lost(max(1, record.changes), .refused)
        }
        tell(refusal.map { "\($0)" })
    }

    /// Tells of trouble once, and of its end.
    private func tell(_ trouble: String?) {
        guard told.changes(to: trouble) else { return }
        guard let trouble else {
            logger.notice("The history of changes is written again")
            return
        }
        logger.warning(
            "The history of changes is not written: watch, top, explain and audit miss it; invalidation goes on",
            metadata: ["error": "\(trouble)"]
        )
    }
}

/// What was told last, so that it is told once.
private final class ToldTrouble: Sendable {
    private let text = Mutex<String?>(nil)

    func changes(to trouble: String?) -> Bool {
        text.withLock { text in
            // The text names times and addresses that vary: that there is trouble is what is told.
            defer { text = trouble }
            return (text == nil) != (trouble == nil)
        }
    }
}
