import Keyspace
import Logging
import Redis
import Surroundings
import Synchronization
import TestSupport
import Testing

@testable import InvalidationWorker

/// What the lane asks the pump for.
@Suite(.timeLimit(.minutes(1))) struct HintLaneTests {
    /// A session that hears some changes, once, and tells how soon a pass is to begin then.
    private struct Session: HintSession {
        let heard: [HeardChanges]
        let ledger: HintLedger
        let urgencies: AsyncStream<HintSignal.Urgency>.Continuation

        func hear(
            _ isWanted: @Sendable (String) -> Bool,
            others: @Sendable () -> Void,
            _ body: @Sendable ([HeardChanges]) async -> Void
        ) async throws -> Never {
            // That the lane listens is news by itself.
            ledger.signal.clear()
            await body(heard)
            urgencies.yield(ledger.signal.urgency)
            while true { try await Task.sleep(for: .seconds(3_600)) }
        }

        func close() async {}
    }

    /// A Redis that has bumped one variant for each script, keeps the mark it was given, and the rest of what it was told.
    private final class Obedient: RedisClient {
        /// What was to be bumped, by key.
        let bumps = Mutex<[String: String]>([:])

        func send(_ batches: [RedisBatch], timeLimit: Duration?) async throws(RedisError) -> [[RedisReply]] {
            batches.map { batch in
                batch.commands.map { command in
                    guard case .script(_, let keys, let arguments) = command, case .string(let mark) = arguments[1]
                    else {
                        return .null
                    }
                    for (key, argument) in zip(keys.dropFirst(), arguments.dropFirst(6)) {
                        if case .string(let variants) = argument { bumps.withLock { $0[key] = variants } }
                    }
                    return .array([.bulk(Array(mark.utf8))] + [0, 1, 0, 0].map { .integer($0) })
                }
            }
        }
    }

    private static let link = "a workflows link delete detector_ids={2} workflow_ids={11}"
    private static let secondLink = "e workflows link delete detector_ids={4} workflow_ids={11}"
    private static let otherLink = "b workflows link delete detector_ids={3} workflow_ids={12}"
    private static let move =
        "c workflows workflow update workflow_ids={11} old_environment_ids={5} new_environment_ids={6}"

    /// How soon a pass is to begin when some changes have been heard of together, and what was bumped for them.
    private func hear(
        _ payloads: [String],
        facts: [FactRow] = [
            FactRow(kind: "link", number1: 1, number2: 11), FactRow(kind: "environment", number1: 11, number2: 6),
            FactRow(kind: "environment", number1: 12, number2: 5),
        ]
    ) async throws -> (urgency: HintSignal.Urgency?, bumps: [String: String]) {
        var heard = HeardNotifications(payloads) { _ in true }.changes
        for place in heard.indices { heard[place].facts = facts }
        let ledger = HintLedger()
        let (urgencies, continuation) = AsyncStream.makeStream(of: HintSignal.Urgency.self)
        let session = Session(heard: heard, ledger: ledger, urgencies: continuation)
        let redis = Obedient()
        let lane = HintLane(
            open: { session },
            store: HeadStore(redis: redis, limits: KeyspaceLimits()),
            caches: try ServedCache.all(firstIn: .workflows),
            ledger: ledger,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            surroundings: .system
        )
        let running = Task { await lane.run() }
        defer { running.cancel() }
        let urgency = await urgencies.first { _ in true }
        return (urgency, redis.bumps.withLock { $0 })
    }

    @Test func `that there is no session for hints is a warning once, when it lasts`() async throws {
        let log = LogProbe()
        // How many there had been when it was opened.
        let warnings = Mutex<[Int]>([])
        let (ends, continuation) = AsyncStream.makeStream(of: Void.self)
        let lane = HintLane(
            open: {
                let count = warnings.withLock { counts in
                    counts.append(log.messages(from: .warning).count)
                    return counts.count
                }
                guard count < 100 else {
                    continuation.yield()
                    try await Task.sleep(for: .seconds(3_600))
                    throw CancellationError()
                }
                throw WorkerError.schemaMissing
            },
            store: HeadStore(redis: Obedient(), limits: KeyspaceLimits()),
            caches: try ServedCache.all(firstIn: .workflows),
            ledger: HintLedger(),
            logger: log.logger,
            surroundings: Surroundings(LeapingClock())
        )
        let running = Task { await lane.run() }
        for await _ in ends.prefix(1) {}
        running.cancel()
        await running.value
        #expect(warnings.withLock { $0 } == Array(repeating: 0, count: 6) + Array(repeating: 1, count: 94))
    }

    private func key(_ detector: Int64) -> String { CacheNamespace.workflows.key(of: Entity(detector)) }

    @Test(arguments: [[link], [move], [link, secondLink], [link, otherLink], [link, move]])
    func `what was bumped waits for its pass`(payloads: [String]) async throws {
        #expect(try await hear(payloads).urgency == .soon)
    }

    @Test func `changes of a few workflows that many detectors trigger are bumped as they are heard of`() async throws {
        let workflows = (1...8).map { Int64($0) }
        let payloads = workflows.map {
            "\($0) workflows workflow update workflow_ids={\($0)} old_environment_ids={5} new_environment_ids={6}"
        }
        let facts = workflows.flatMap { workflow in
            (1...1_000).map { FactRow(kind: "link", number1: workflow * 1_000 + $0, number2: workflow) }
        }
        let heard = try await hear(payloads, facts: facts)
        #expect(heard.urgency == .soon)
        #expect(heard.bumps.count == 8_000)
        #expect(heard.bumps[key(3_500)] == "5,6")
    }

    @Test func `what concerns everything waits for nothing`() async throws {
        #expect(try await hear(["d workflows namespace invalidate"]).urgency == .now)
        #expect(try await hear([Self.link, "d workflows namespace invalidate"]).urgency == .now)
    }

    /// The workflow finds no link any more, and the link only the environment after: that the detector had it before follows from both.
    @Test func `what follows from two changes together is bumped with them`() async throws {
        #expect(try await hear([Self.link]).bumps == [key(2): "6"])
        #expect(try await hear([Self.move]).bumps == [key(1): "5,6"])
        #expect(try await hear([Self.link, Self.move]).bumps == [key(1): "5,6", key(2): "5,6"])
    }
}
