import Keyspace
import Logging
import NIOConcurrencyHelpers
import Postgres
import Redis
import Surroundings
import Testing

@testable import InvalidationWorker

/// What whoever watches over a worker sees of its loop.
@Suite struct PumpTurnTests {
    @Test(.timeLimit(.minutes(1)))
    func `a loop that waits for long shows now and then that it has not stood still`() async throws {
        let clock = LeapingClock()
        var configuration = InvalidationWorker.Configuration()
        configuration.leadershipInterval = .seconds(95)
        var worker = InvalidationWorker(
            postgres: PostgresConfiguration(),
            redis: RedisNode(
                RedisConfiguration(endpoint: .tcp(host: "127.0.0.1", port: 1)),
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            ),
            configuration: configuration,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
        worker.surroundings = Surroundings(clock)
        worker.openJournal = { StandbySession(clock: clock) }
        let turns = NIOLockedValueBox<[ContinuousClock.Instant]>([])
        worker.onTurn = { _ in turns.withLockedValue { $0.append(clock.now) } }
        let start = clock.now
        let running = worker
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await running.run() }
            while clock.now < start + .seconds(500) { try await Task.sleep(for: .milliseconds(1)) }
            tasks.cancelAll()
        }
        let moments = turns.withLockedValue { $0 }
        #expect(moments.count > 40)
        #expect(zip(moments, moments.dropFirst()).allSatisfy { $0.duration(to: $1) <= .seconds(10) })
    }
}

/// A session beside a leader to whom nothing ever happens: a wait takes no time, and leaps to its end.
private struct StandbySession: JournalSession {
    let clock: LeapingClock

    func notifies() async throws -> Bool { true }
    func tryToLead() async throws -> Bool { false }
    func leader() async throws -> Int64? { 1 }
    func takeOver() async throws -> PostgresIdentity { throw WorkerError.schemaMissing }
    func listen(_ isListening: Bool) async throws {}
    func waitForChange(until deadline: ContinuousClock.Instant) async throws -> Bool {
        try Task.checkCancellation()
        clock.leap(to: deadline)
        return false
    }
    func pause(until deadline: ContinuousClock.Instant) async throws { clock.leap(to: deadline) }
    func claim(_ request: PumpStateMachine.ClaimRequest) async throws -> Claim { throw WorkerError.schemaMissing }
    func commit(_ acknowledgements: [PassPlan.Acknowledgement]) async throws {}
    func rollBack() async throws {}
    func close() async {}
}
