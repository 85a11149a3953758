import Freshet
import Keyspace
import Surroundings

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

extension Date {
    /// 1970.
    static let distantEpoch = Date(timeIntervalSince1970: 0)
}

/// A process that looks things up.
///
/// `@unchecked Sendable` because it is used on the one thread that runs the simulation.
final class ReaderActor: @unchecked Sendable {
    private let world: World
    let process: SimulatedProcess
    private let lookup: WorkflowLookup
    /// Whether a lookup has ended without an answer: what it had begun to load, a later one may join.
    private var hasGivenUp = false

    init(_ world: World, _ process: SimulatedProcess, _ lookup: WorkflowLookup) {
        self.world = world
        self.process = process
        self.lookup = lookup
    }

    /// Looks things up one after the other, with pauses.
    func begin(lookups: Int) {
        world.actorBegan()
        process.begin { [self] in
            defer { world.actorEnded() }
            for _ in 0..<lookups {
                guard await pause() else { return }
                await lookUp(randomQuestion(), after: nil)
            }
        }
    }

    private func pause() async -> Bool {
        (try? await process.sleep(untilMoment: world.nextMoment())) != nil
    }

    /// Whether what is loaded for a lookup has been loaded since it began.
    private var isAlone: Bool { world.plan.loadsAlone && !hasGivenUp }

    /// What somebody wants to know.
    private struct Question {
        var detectors: [Int64]
        var environment: DetectorEnvironment
    }

    private func randomQuestion() -> Question {
        let plan = world.plan
        var detectors = [world.scheduler.random.pick(plan.detectors)]
        if world.scheduler.random.chance(oneIn: 4) { detectors = plan.detectors }
        var environment = DetectorEnvironment.global
        if !world.scheduler.random.chance(oneIn: 3) {
            environment = .environment(world.scheduler.random.pick(plan.environments))
        }
        return Question(detectors: detectors, environment: environment)
    }

    /// Asks as a service does, and checks that all was answered that was asked for.
    private func ask(
        _ question: Question,
        after token: ReadToken? = nil,
        deadline: ContinuousClock.Instant? = nil
    ) async throws -> (trust: Trust, sets: [(DetectorWorkflowsKey, CacheAnswer<[Workflow]>)])? {
        let environment = question.environment
        let answer =
            if question.detectors.count == 1 {
                try await lookup.workflows(
                    ofDetector: question.detectors[0],
                    in: environment,
                    after: token,
                    deadline: deadline
                )
            } else {
                try await lookup.workflows(
                    ofDetectors: question.detectors,
                    in: environment,
                    after: token,
                    deadline: deadline
                )
            }
        guard !process.isDead, !world.scheduler.isOver else { return nil }
        world.checker.checkMemory(lookup.nearCount, of: process)
        if answer.detectors.map(\.id) != question.detectors
            || answer.detectors.contains(where: { ($0.environment == nil) != (environment == .global) })
        {
            world.checker.violate(.answered, "\(process.name) was told nothing of a part of \(question)")
        }
        return (answer.trust, answer.detectors.flatMap { $0.sets(in: environment) })
    }

    private func lookUp(_ question: Question, after own: (token: ReadToken, commit: Checker.Commit)?) async {
        let start = world.scheduler.now
        let isImpatient = !world.plan.isCalm && world.scheduler.random.chance(oneIn: 10)
        let deadline = isImpatient ? process.now + .milliseconds(1 + world.scheduler.random.below(500)) : nil
        do {
            guard let answers = try await ask(question, after: own?.token, deadline: deadline) else { return }
            for (key, answer) in answers.sets {
                world.checker.answered(
                    key,
                    answer,
                    answers.trust,
                    asked: start,
                    after: own?.commit,
                    isAlone: isAlone,
                    by: process
                )
            }
        } catch {
            hasGivenUp = true
            guard !process.isDead, !world.scheduler.isOver else { return }
            world.trace { "\(process.name) is told nothing of \(question): \(error)" }
            let isLate = (error as? CacheError)?.code == .deadlineExceeded && deadline.map { $0 <= process.now } == true
            let isDue = error is SessionLost || isLate
            if !isDue || world.plan.isCalm {
                world.checker.violate(.answered, "\(process.name) is told nothing of \(question): \(error)")
            }
        }
    }

    /// Reads with the token of a commit.
    func readOwnWrite(_ token: ReadToken, _ commit: Checker.Commit) {
        world.actorBegan()
        process.begin { [self] in
            defer { world.actorEnded() }
            await lookUp(randomQuestion(), after: (token, commit))
        }
    }

    /// Reads everything at the end, when it must be what the database says.
    ///
    /// - Parameter alsoFromMemory: Whether that has been told, or has given up, by now.
    func readAll(alsoFromMemory: Bool) {
        world.actorBegan()
        process.begin { [self] in
            defer { world.actorEnded() }
            let plan = world.plan
            for environment in plan.environments {
                let start = world.scheduler.now
                let question = Question(detectors: plan.detectors, environment: .environment(environment))
                let answers: (trust: Trust, sets: [(DetectorWorkflowsKey, CacheAnswer<[Workflow]>)])?
                do {
                    answers = try await ask(question)
                } catch {
                    // Nothing is wrong any more, so everybody is answered.
                    if !process.isDead, !world.scheduler.isOver {
                        world.checker.violate(.answered, "\(process.name) is told nothing of \(question): \(error)")
                    }
                    return
                }
                guard let answers else { return }
                for (key, answer) in answers.sets {
                    world.checker.answered(
                        key,
                        answer,
                        answers.trust,
                        asked: start,
                        after: nil,
                        isAlone: isAlone,
                        by: process
                    )
                    guard alsoFromMemory || answer.source != .near else { continue }
                    if !world.isForeign(process), !world.checker.isTrueNow(key, answer.value) {
                        world.checker.violate(
                            .converged,
                            of: key,
                            "\(process.name) is told of \(key) by \(answer.source) what the database does not say"
                        )
                    }
                }
            }
        }
    }
}

/// A program that writes.
///
/// `@unchecked Sendable` because it is used on the one thread that runs the simulation.
final class WriterActor: @unchecked Sendable {
    private let world: World
    private let process: SimulatedProcess

    init(_ world: World, _ process: SimulatedProcess) {
        self.world = world
        self.process = process
    }

    func begin(transactions: Int) {
        world.actorBegan()
        process.begin { [self] in
            defer { world.actorEnded() }
            for _ in 0..<transactions {
                guard (try? await process.sleep(untilMoment: world.nextMoment())) != nil else { return }
                do {
                    try await write()
                } catch {
                    world.trace { "\(process.name) fails: \(error)" }
                }
            }
        }
    }

    private struct Failed: Error {}

    private func write() async throws {
        let session = try await world.connect(process)
        defer { session.close() }
        let isolation: PostgresModel.Isolation =
            world.scheduler.random.chance(oneIn: 3) ? .repeatableRead : .readCommitted
        _ = try await session.call { session, answer in
            session.transaction = session.model.begin(isolation)
            answer(true)
        }
        for _ in 0..<(1 + world.scheduler.random.below(world.plan.statementsPerTransaction)) {
            let statement = randomStatement()
            let isDone: Bool = try await session.call { [world, process] session, answer in
                guard let transaction = session.transaction else { return answer(false) }
                let model = session.model
                let execution = PostgresModel.Execution(statement, transaction)
                model.perform(transaction) {
                    model.advance(execution)
                } isWanted: {
                    session.isOpen
                } then: { progress in
                    world.trace { "\(process.name) \(transaction.xid): \(statement): \(progress)" }
                    answer(progress == .done)
                }
            }
            if world.plan.hesitation > 0, world.scheduler.random.chance(oneIn: 2) {
                let pause = Int64(world.scheduler.random.below(Int(world.plan.hesitation)))
                try await process.sleep(untilMoment: world.scheduler.now + pause)
            }
            guard isDone else {
                _ = try await session.call { session, answer in
                    if let transaction = session.transaction { session.model.abort(transaction) }
                    session.transaction = nil
                    answer(true)
                }
                return
            }
        }
        if world.scheduler.random.chance(oneIn: 16) { return }
        let commit: Checker.Commit? = try await session.call { [world] session, answer in
            guard let transaction = session.transaction else { return answer(nil) }
            let model = session.model
            world.commit(session, transaction) {
                answer(
                    Checker.Commit(
                        server: model.number,
                        moment: model.moment,
                        position: transaction.position,
                        time: world.scheduler.now,
                        xid: transaction.xid,
                        identity: model.identityText,
                        snapshot: model.currentSnapshot().text
                    )
                )
            }
        }
        guard let commit, commit.xid != 0, world.plan.tokens else { return }
        let token =
            world.scheduler.random.chance(oneIn: 2)
            ? ReadToken(transaction: commit.xid, postgres: commit.identity)
            : ReadToken("\(commit.identity) \(commit.snapshot)")
        if let token { world.handToReader(token, commit) }
    }

    private func randomStatement() -> ApplicationStatement {
        let plan = world.plan
        let detector = world.scheduler.random.pick(plan.detectors)
        let other = world.scheduler.random.pick(plan.detectors)
        let workflow = world.scheduler.random.pick(plan.workflows)
        let second = world.scheduler.random.pick(plan.workflows)
        let environment = world.environment()
        if plan.isCrossing {
            switch world.scheduler.random.below(4) {
            case 0: return .insertLink(detector: detector, workflow: workflow)
            case 1: return .deleteLink(detector: detector, workflow: workflow)
            default: return .moveWorkflow(workflow, environment: environment)
            }
        }
        if plan.bulkiness > 0, world.scheduler.random.chance(oneIn: plan.bulkiness) {
            return .moveAllWorkflows(environment: environment)
        }
        switch world.scheduler.random.below(40) {
        case 0..<9: return .moveWorkflow(workflow, environment: environment)
        case 9..<11: return .moveAllWorkflows(environment: environment)
        case 11..<13: return .toggleWorkflow(workflow)
        case 13..<15: return .renameWorkflow(workflow)
        case 15..<17: return .deleteWorkflow(workflow)
        case 17..<20: return .insertWorkflow(workflow, environment: environment)
        case 20..<22: return .rekeyWorkflow(workflow, to: second)
        case 22..<28: return .insertLink(detector: detector, workflow: workflow)
        case 28..<31: return .deleteLink(detector: detector, workflow: workflow)
        case 31: return .deleteLinksOfWorkflow(workflow)
        case 32..<34: return .relink(detector: detector, workflow: workflow, to: second)
        case 34..<36: return .reattach(detector: detector, workflow: workflow, to: other)
        case 36: return .touchDetector(detector)
        case 37: return .invalidateAll
        case 38: return world.scheduler.random.chance(oneIn: 2) ? .invalidateDetector(detector) : .invalidateAll
        default: return .invalidateEntry(detector: detector, environment: environment)
        }
    }
}
