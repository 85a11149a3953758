import InvalidationWorker
import Keyspace
import Surroundings

/// A worker's session with a simulated Postgres.
final class SimulatedJournal: JournalSession, @unchecked Sendable {
    // `@unchecked` because it is used on the one thread that runs the simulation.
    private let session: PostgresSession
    private let world: World
    private var listensLater = false

    private init(_ session: PostgresSession) {
        self.session = session
        world = session.world
    }

    /// Opens a session with whatever server the process finds.
    static func open(_ world: World, _ process: SimulatedProcess) async throws -> SimulatedJournal {
        let session = try await world.connect(process)
        session.commitsAsynchronously = true
        return SimulatedJournal(session)
    }

    func notifies() async throws -> Bool {
        let world = world
        return try await session.call { _, answer in answer(world.plan.notifies) }
    }

    func tryToLead() async throws -> Bool {
        try await session.call { session, answer in
            let model = session.model
            if model.leader == nil { model.leader = session }
            answer(model.leader === session)
        }
    }

    /// Nobody asks for it there.
    func leader() async throws -> Int64? { nil }

    func takeOver() async throws -> PostgresIdentity {
        listensLater = session.model.flaws.contains(.listenAfterTheDrain)
        if !listensLater {
            try await listen(true)
        }
        let text: String = try await session.call { [world] session, answer in
            let model = session.model
            if model.token == nil {
                model.token =
                    model.flaws.contains(.incarnationSurvives)
                    ? "t" : "t\(Generation.nonceText(world.scheduler.random.next()))"
            }
            world.checker.know(session.server)
            answer(model.identityText)
        }
        session.serves = true
        guard let identity = PostgresIdentity(text) else { throw SessionLost() }
        return identity
    }

    func listen(_ isListening: Bool) async throws {
        _ = try await session.call { session, answer in
            session.isListening = isListening
            answer(true)
        }
    }

    func waitForChange(until deadline: ContinuousClock.Instant) async throws -> Bool {
        !(try await session.waitForNotifications(until: session.process.moment(of: deadline))).isEmpty
    }

    func pause(until deadline: ContinuousClock.Instant) async throws {
        while session.process.now < deadline { _ = try await waitForChange(until: deadline) }
    }

    func claim(_ request: PumpStateMachine.ClaimRequest) async throws -> Claim {
        let threshold = world.plan.collapseThreshold
        let outcome: ClaimOutcome = try await session.call { [world] session, answer in
            let model = session.model
            let transaction = model.begin(.readCommitted)
            session.transaction = transaction
            if request.factsProblems.isEmpty, world.plan.factsFail, world.scheduler.random.chance(oneIn: 12) {
                model.abort(transaction)
                session.transaction = nil
                return answer(.unreadable)
            }
            let execution = PostgresModel.ClaimExecution(request, transaction, cursor: session.server.cursor)
            func proceed() {
                model.perform(transaction) {
                    model.advance(execution, collapseThreshold: threshold)
                } isWanted: {
                    session.isOpen
                } then: { progress in
                    guard case .done = progress, let claim = execution.claim, let snapshot = execution.claimed else {
                        return session.terminate()
                    }
                    session.server.claimedID = execution.lastID
                    world.checker.claimed(session, snapshot, request.nextMark, claim)
                    world.happened(.claimed)
                    answer(.claimed(claim))
                }
            }
            guard model.flaws.contains(.factsAfterTheClaim) else { return proceed() }
            // The look-ups are another statement.
            model.look(execution)
            let delay = Int64(world.scheduler.random.below(8_000_000))
            world.scheduler.after(delay) { if session.isOpen { proceed() } }
        }
        switch outcome {
        case .claimed(let claim): return claim
        case .unreadable: throw FactsUnreadable(problems: ["workflows": "column does not exist"])
        }
    }

    private enum ClaimOutcome: Sendable { case claimed(Claim), unreadable }

    func commit(_ acknowledgements: [PassPlan.Acknowledgement]) async throws {
        let isDone: Bool = try await session.call { [world] session, answer in
            guard let transaction = session.transaction else { return answer(false) }
            let model = session.model
            var place = 0
            model.perform(transaction) {
                model.acknowledge(acknowledgements, from: &place, transaction)
            } isWanted: {
                session.isOpen
            } then: { progress in
                guard case .done = progress else { return session.terminate() }
                session.server.cursor = max(session.server.cursor, session.server.claimedID)
                world.commit(session, transaction) { answer(true) }
            }
        }
        if !isDone { throw SessionLost() }
        if listensLater {
            listensLater = false
            try await listen(true)
        }
    }

    func rollBack() async throws {
        _ = try await session.call { session, answer in
            if let transaction = session.transaction { session.model.abort(transaction) }
            session.transaction = nil
            answer(true)
        }
    }

    func close() async {
        session.close()
    }
}
