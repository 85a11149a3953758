import TestSupport
import Testing

@testable import Postgres

/// The loan of a connection, cancelled before its first step, before its second, and so on.
@Suite(.timeLimit(.minutes(5))) struct LoanCancellationTests {
    /// In what state the pool is when the connection is asked for.
    enum Situation: CaseIterable, Sendable {
        /// There is no connection yet.
        case empty
        /// One was lent before, and has come back.
        case idle
        /// One that came back has died since.
        case dead
        /// Another has it, or is about to.
        case lent
        /// The first attempt to connect fails.
        case refused
    }

    struct Refusal: Error {}

    /// What connects: only the pool retains it.
    private final class Server: Sendable {
        private let stage: SteppedStage
        private let diesIdle: Bool
        private let isRefusing: Locked<Bool>

        init(_ stage: SteppedStage, _ situation: Situation) {
            self.stage = stage
            diesIdle = situation == .dead
            isRefusing = Locked(situation == .refused)
        }

        deinit { stage.forget() }

        func connect() async throws -> SteppedConnection {
            guard await stage.hold("connect", isForCallers: true) else { throw CancellationError() }
            // Only the first is refused: the place must be free for the next.
            let isRefused = isRefusing.withLock { isRefusing in
                defer { isRefusing = false }
                return isRefusing
            }
            if isRefused { throw Refusal() }
            return SteppedConnection(stage, diesIdle: diesIdle)
        }
    }

    @Test(arguments: Situation.allCases)
    func `a loan that is cancelled at any step ends, and the place of its connection is free`(
        _ situation: Situation
    ) async throws {
        // Whoever has a connection gives it back, and so waits for an answer, also when cancelled.
        for moment in [SteppedStage.Moment.atOnce, .beforeStep] {
            var step = 0
            while try await play(situation, moment, cancellingBefore: step) { step += 1 }
            #expect(step >= 2, "\(moment)")
        }
    }

    /// Plays a situation once.
    ///
    /// - Returns: Whether the loan was still under way at that step, and was cancelled.
    private func play(
        _ situation: Situation,
        _ moment: SteppedStage.Moment,
        cancellingBefore step: Int
    ) async throws -> Bool {
        let stage = SteppedStage()
        let (subject, others) = begin(situation, on: stage)
        let outcome = try await stage.play(
            cancellingBefore: step,
            moment,
            callerCount: 1 + others.count,
            cancel: { subject.cancel() }
        )
        let place = "\(moment): \(outcome.trace)"
        switch await subject.result {
        case .success: break
        case .failure(let error):
            let isCancellation = error is CancellationError || (error as? PostgresError)?.code == .cancelled
            #expect(
                isCancellation && outcome.isCancelled || situation == .refused && error is Refusal,
                "\(error) at \(place)"
            )
        }
        for other in others {
            let result = await other.result
            // Whoever comes second is not the one that is refused, unless the first has gone before it came to that.
            if situation == .refused, outcome.isCancelled { continue }
            #expect(throws: Never.self, "\(place)") { try result.get() }
        }
        return outcome.isCancelled
    }

    /// The loan that is cancelled, and those of others that go on, from a pool of one place.
    private func begin(
        _ situation: Situation,
        on stage: SteppedStage
    ) -> (subject: Task<Void, any Error>, others: [Task<Void, any Error>]) {
        let server = Server(stage, situation)
        let pool = ConnectionPool(maximumConnections: 1, waitTimeLimit: .seconds(3_600)) { try await server.connect() }
        let loan: @Sendable () async throws -> Void = {
            let connection = try await pool.lend()
            await pool.takeBack(connection)
        }
        var others: [Task<Void, any Error>] = []
        if situation == .lent { others.append(stage.start(caller: 1, loan)) }
        let subject = stage.start(caller: 0) {
            // Once before, to leave a connection behind.
            if situation == .idle || situation == .dead { try await loan() }
            try await loan()
        }
        others.append(stage.start(caller: others.count + 1, loan))
        return (subject, others)
    }
}

/// A connection whose farewell to each user is a step.
private final class SteppedConnection: PooledConnection {
    private let stage: SteppedStage
    private let diesIdle: Bool

    init(_ stage: SteppedStage, diesIdle: Bool) {
        self.stage = stage
        self.diesIdle = diesIdle
    }

    var isUsable: Bool {
        get async { !diesIdle }
    }

    func prepareForNextUse() async -> Bool { await stage.hold("rollback") }

    func close() async {}
}
