// Carries out the actions of the ``PumpStateMachine``. What is decided is decided there; here is what can fail, and how a
// failure is told: as one event for the machine, and once for the people, until it is over.

import Keyspace
import Logging
import Redis
import ServiceLifecycle
import Surroundings

/// A point in the work of a worker at which a test can hold it.
package enum PumpStep: Sendable, Hashable {
    case connecting, standingBy, takingOver, observing, claiming, applying, committing, waiting, backingOff, leaving
}

/// Opens a session with Postgres, or throws.
package typealias JournalOpener = @Sendable () async throws -> any JournalSession

struct Pump {
    let open: JournalOpener
    /// Opens the sessions of the hint lane; nil for none.
    let openHints: HintOpener?
    let caches: [ServedCache]
    let store: HeadStore
    let logger: Logger
    let surroundings: Surroundings
    let onEvent: @Sendable (WorkerEvent) async -> Void
    let beforeStep: @Sendable (PumpStep) async -> Void
    /// Is told of each turn of the loop, before anything else of it.
    let onTurn: @Sendable (PumpStep) -> Void
    /// Says how often to look, where that may change.
    let intervals: @Sendable () -> WorkerIntervals?

    private var machine: PumpStateMachine
    private var journal: (any JournalSession)?
    private let ledger = HintLedger()
    /// Whether the session listens: it need not while the lane does.
    private var listens = false
    /// Runs while this worker leads.
    private var lane: Task<Void, Never>?
    private var pass: Pass
    /// When a pass may follow that is not urgent.
    private var rested: ContinuousClock.Instant
    private var telemetry = WorkerTelemetry()
    private var reported = Reported()
    private var hasConnected = false
    /// Until when this worker's promises hold, by cache.
    private var promises: [String: ContinuousClock.Instant] = [:]

    /// What is known of the pass under way.
    private struct Pass {
        var began: ContinuousClock.Instant
        var claim: Claim?
        var applied: ContinuousClock.Instant?
        var plans: [PassPlan] = []
        var outcomes: [PassOutcome] = []

        /// When all that a plan invalidates was bumped, by the clock of Postgres.
        func invalidatedAtMicroseconds(by plan: PassPlan) -> Int64? {
            guard let time = (plan.hintedAt ?? applied).flatMap({ claim?.clock?.microseconds(at: $0) }) else {
                return nil
            }
            // The clock is known to within the way of a reply, which may take longer than a hint; but that comes behind its change.
            guard plan.hintedAt != nil, let part = claim?.caches.first(where: { $0.cache == plan.cache }),
                case .changes(let changes) = part.backlog
            else { return time }
            return changes.reduce(time) { max($0, $1.changedAtMicroseconds &+ 1) }
        }
    }

    /// What was told last, so that it is told once.
    private struct Reported {
        var errors: [WorkerEvent.Server: String] = [:]
        /// By cache; under the empty name, why nothing at all is done.
        var distrust: [String: String] = [:]
        /// The session that leads while this one stands by: when it was asked for, and what was told.
        var leader: (askedAt: ContinuousClock.Instant, pid: Int64?)?
    }

    init(
        open: @escaping JournalOpener,
        openHints: HintOpener?,
        caches: [ServedCache],
        store: HeadStore,
        machine: PumpStateMachine,
        logger: Logger,
        surroundings: Surroundings,
        onEvent: @escaping @Sendable (WorkerEvent) async -> Void,
        beforeStep: @escaping @Sendable (PumpStep) async -> Void,
        onTurn: @escaping @Sendable (PumpStep) -> Void,
        intervals: @escaping @Sendable () -> WorkerIntervals?
    ) {
        self.open = open
        self.openHints = openHints
        self.caches = caches
        self.store = store
        self.machine = machine
        self.logger = logger
        self.surroundings = surroundings
        pass = Pass(began: surroundings.now)
        rested = surroundings.now
        self.onEvent = onEvent
        self.beforeStep = beforeStep
        self.onTurn = onTurn
        self.intervals = intervals
    }

    /// Works until a graceful shutdown, which finishes the pass under way, or until the task is cancelled, which does not.
    mutating func run() async {
        var action = machine.start()
        while action != .stop && !Task.isCancelled {
            onTurn(action.step)
            await beforeStep(action.step)
            let event = await perform(action)
            if Task.isShuttingDownGracefully { machine.shutDown() }
            if let intervals = intervals() { machine.take(intervals) }
            action = machine.next(after: event, at: surroundings.now)
            telemetry.leads(machine.isLeading)
            if !machine.isLeading { telemetry.distrustsNothing() }
            countLapses()
        }
        await closeSession()
    }

    private mutating func perform(_ action: PumpStateMachine.Action) async -> PumpStateMachine.Event {
        do {
            return try await attempt(action)
        } catch let error as HeadStore.Failure {
            switch error {
            case .fenced:
                telemetry.passWasFenced()
                ledger.passWasRefused()
                logger.notice("A head has changed since it was observed: the pass begins anew")
                return .fenced
            case .refused(let reply):
                return await redisFailed("\(reply)")
            }
        } catch let error as RedisError {
            return await redisFailed("\(error)")
        } catch let error as FactsUnreadable {
            return .factsUnreadable(error.problems)
        } catch let error as WorkerError where action.isAboutRedis {
            return await redisFailed("\(error)")
        } catch {
            if Task.isCancelled || Task.isShuttingDownGracefully { return .disconnected }
            await tell(error, of: .postgres)
            telemetry.postgresFailed()
            return .disconnected
        }
    }

    private mutating func attempt(_ action: PumpStateMachine.Action) async throws -> PumpStateMachine.Event {
        switch action {
        case .connect(let delay):
            await closeSession()
            return try await connect(after: delay)
        case .giveUpLead(let delay):
            await closeSession()
            logger.notice("Gives up the lead: Redis has not been reached for a lease, and a standby may reach it")
            return try await connect(after: delay)
        case .findPrimary(let delay, let identity, let ahead):
            await closeSession()
            await tellDistrust(
                "this Postgres is on timeline \(identity.timeline), and one on timeline \(ahead.timeline) was promoted: "
                    + "give the address of that, or list all hosts",
                of: ""
            )
            return try await connect(after: delay)
        case .tryToLead:
            if try await session.tryToLead() {
                reported.leader = nil
                return .lockAcquired
            }
            try await tellStandingBy()
            return .lockBusy
        case .takeOver:
            let identity = try await session.takeOver()
            listens = true
            telemetry.tookTheLead()
            logger.info("Leading", metadata: ["postgres": "\(identity)"])
            beginLane()
            await onEvent(.leading)
            return .tookOver(identity)
        case .standBy(let interval):
            try await waitInTurns(interval, action.step) { try await $0.waitForChange(until: $1) }
            return .woke
        case .waitForChange(let interval):
            // Of what was notified before it listens again, only a pass can tell.
            if try await changeListener() { return .woke }
            try await waitInTurns(interval, action.step) { [ledger, rested, surroundings] session, end in
                try await Self.waitForChange(on: session, until: end, or: ledger.signal, rested, surroundings)
            }
            return .woke
        case .backOff(let delay):
            try await waitInTurns(delay, action.step) { session, end in
                try await session.pause(until: end)
                return false
            }
            return .woke
        case .observeHeads(let namespaces):
            pass = Pass(began: surroundings.now)
            return .observed(try await store.observe(namespaces))
        case .claim(let request):
            ledger.signal.clear()
            var claim = try await session.claim(request)
            for place in claim.caches.indices { claim.caches[place].covered = ledger.coverage(of: claim.caches[place]) }
            pass.claim = claim
            return .claimed(claim)
        case .apply(let plans):
            pass.plans = plans
            let outcomes = try await store.apply(plans)
            pass.outcomes = outcomes
            pass.applied = surroundings.now
            ledger.passWasApplied()
            return .applied(outcomes)
        case .commit(let acknowledgements):
            try await session.commit(acknowledgements)
            await committed()
            return .committed
        case .rollBack:
            try await session.rollBack()
            return .rolledBack
        case .leave:
            await closeSession()
            return .left
        case .stop:
            return .left
        }
    }

    private mutating func countLapses() {
        guard !promises.isEmpty else { return }
        let now = surroundings.now
        for (cache, end) in promises where end <= now {
            telemetry.lapsed(cache)
            promises[cache] = nil
        }
    }

    /// How often a standby asks who leads: it tries to lead far more often.
    private static let leaderInterval: Duration = .seconds(10)

    private mutating func tellStandingBy() async throws {
        // What this worker promised while it led, another promises now.
        promises = [:]
        let now = surroundings.now
        let hasRecovered = reported.errors.removeValue(forKey: .postgres) != nil
        if let leader = reported.leader, !hasRecovered, now - leader.askedAt < Self.leaderInterval { return }
        let pid = try await session.leader()
        let isNews = hasRecovered || reported.leader.map { $0.pid != pid } ?? true
        reported.leader = (now, pid)
        guard isNews else { return }
        logger.info("Standing by: another session leads", metadata: pid.map { ["pid": "\($0)"] } ?? [:])
        await onEvent(.standingBy(leader: pid))
    }

    private var session: any JournalSession {
        get throws {
            guard let journal else { throw WorkerError.schemaMissing }
            return journal
        }
    }

    private mutating func connect(after delay: Duration) async throws -> PumpStateMachine.Event {
        await sleep(for: delay)
        let journal = try await untilShutdown(open)
        self.journal = journal
        if hasConnected { telemetry.reconnectedToPostgres() }
        hasConnected = true
        return .connected(notifies: try await journal.notifies())
    }

    private mutating func closeSession() async {
        lane?.cancel()
        // First what others wait for: the lane does no harm without the lock.
        if let journal {
            self.journal = nil
            await journal.close()
        }
        await lane?.value
        lane = nil
    }

    private mutating func beginLane() {
        guard let openHints else { return }
        let lane = HintLane(
            open: openHints,
            store: store,
            caches: caches,
            ledger: ledger,
            logger: logger,
            surroundings: surroundings
        )
        self.lane = surroundings.begin { await lane.run() }
    }

    /// The longest wait after which whoever watches is shown that the loop has not stood still.
    private static let longestTurn: Duration = .seconds(10)

    /// Waits for a time, with a turn of the loop now and then, or until `body` says that the wait is over.
    private func waitInTurns(
        _ interval: Duration,
        _ step: PumpStep,
        _ body: @escaping @Sendable (any JournalSession, ContinuousClock.Instant) async throws -> Bool
    ) async throws {
        var rest = interval
        while true {
            let end = surroundings.now + min(rest, Self.longestTurn)
            rest -= Self.longestTurn
            let isOver = try await wait { try await body($0, end) }
            if isOver || rest <= .zero { return }
            onTurn(step)
        }
    }

    /// Has the session listen while the lane does not, and returns whether it has begun to.
    private mutating func changeListener() async throws -> Bool {
        let mustListen = !ledger.isListening
        guard listens != mustListen else { return false }
        try await session.listen(mustListen)
        listens = mustListen
        return mustListen
    }

    /// Waits for a change that the session is notified of, or the lane.
    private static func waitForChange(
        on session: any JournalSession,
        until end: ContinuousClock.Instant,
        or signal: HintSignal,
        _ rested: ContinuousClock.Instant,
        _ surroundings: Surroundings
    ) async throws -> Bool {
        try await withThrowingTaskGroup { tasks in
            tasks.addTask { try await session.waitForChange(until: end) }
            tasks.addTask {
                await signal.wait(until: rested, in: surroundings)
                return true
            }
            defer { tasks.cancelAll() }
            return try await tasks.next() ?? true
        }
    }

    /// Waits with the session, so that losing it is noticed.
    ///
    /// A shutdown ends the wait; it is seen by whoever asks next.
    ///
    /// - Returns: Whether the wait is over.
    private func wait(_ body: @escaping @Sendable (any JournalSession) async throws -> Bool) async throws -> Bool {
        let session = try session
        do {
            return try await untilShutdown { try await body(session) }
        } catch  where Task.isShuttingDownGracefully && !Task.isCancelled {
            logger.debug("Shutting down")
            return true
        }
    }

    private func sleep(for delay: Duration) async {
        guard delay > .zero else { return }
        do {
            try await untilShutdown { [surroundings] in try await surroundings.sleep(for: delay) }
        } catch {
            logger.debug("Shutting down")
        }
    }

    /// Does something that a graceful shutdown cancels.
    private func untilShutdown<Result: Sendable>(
        _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        // Nobody shuts a simulated worker down, and who waits for it begins tasks where no simulation can lead them.
        guard surroundings.simulatedNanoseconds == nil else { return try await body() }
        return try await cancelWhenGracefulShutdown(body)
    }

    private mutating func committed() async {
        guard let claim = pass.claim else { return }
        let now = surroundings.now
        let duration = pass.began.duration(to: now)
        // What follows one that found nothing has waited already.
        if claim.rowCount > 0 { rested = now + HintSignal.rest(after: duration) }
        if reported.errors[.redis] != nil { telemetry.reconnectedToRedis() }
        reported.errors = [:]
        telemetry.passCommitted(after: duration)
        await tellDistrust(nil, of: "")
        for (plan, outcome) in zip(pass.plans, pass.outcomes) {
            guard let part = claim.caches.first(where: { $0.cache == plan.cache }) else { continue }
            await committed(part, plan, outcome, after: duration)
        }
        let summary = CommittedPass(
            vouched: Set(pass.plans.filter { $0.distrust == nil }.map(\.cache)),
            distrust: Dictionary(
                pass.plans.compactMap { plan in plan.isAttached ? plan.distrust.map { (plan.cache, $0) } : nil },
                uniquingKeysWith: { first, _ in first }
            ),
            rowCount: claim.rowCount,
            duration: duration
        )
        for cache in claim.caches.map(\.cache) {
            telemetry.distrusts(cache, summary.distrust[cache] != nil)
            guard summary.vouched.contains(cache) else { continue }
            telemetry.renewed(cache)
            promises[cache] = pass.began + store.limits.lease
        }
        await onEvent(.committed(summary))
        if !summary.vouched.isEmpty { await onEvent(.vouched) }
    }

    private mutating func committed(
        _ claim: CacheClaim,
        _ plan: PassPlan,
        _ outcome: PassOutcome,
        after duration: Duration
    ) async {
        telemetry.committed(claim, plan, outcome)
        if !plan.resetBuckets.isEmpty {
            logger.notice(
                "Redis does not hold what this worker left there: the namespace was bumped",
                metadata: ["cache": "\(plan.cache)", "generation": "\(outcome.generation ?? "none")"]
            )
        }
        if outcome.damagedKeys > 0 {
            logger.tellDamagedKeys(outcome.damagedKeys, of: plan.cache)
        }
        if claim.rowCount > 0 || !plan.scopes.isEmpty || !plan.resetBuckets.isEmpty {
            var report = PassReport(claim: claim, plan: plan, outcome: outcome, duration: duration)
            report.invalidatedAtMicroseconds = pass.invalidatedAtMicroseconds(by: plan)
            telemetry.applied(report, to: plan.cache)
            logger.debug(
                "Applied",
                metadata: [
                    "cache": "\(plan.cache)", "changes": "\(claim.rowCount)", "scopes": "\(plan.scopes.count)",
                ]
            )
            await onEvent(.applied(report))
        }
        await tellDistrust(plan.isAttached ? plan.distrust : nil, of: plan.cache)
    }

    private mutating func tellDistrust(_ reason: String?, of cache: String) async {
        guard reason != reported.distrust[cache] else { return }
        reported.distrust[cache] = reason
        let place: Logger.Metadata = cache.isEmpty ? [:] : ["cache": "\(cache)"]
        guard let reason else {
            logger.notice("Vouching again", metadata: place)
            return
        }
        logger.error(
            "Vouching for nothing: readers see degraded",
            metadata: place.merging(["reason": "\(reason)"]) { $1 }
        )
        await onEvent(.distrusting(cache: cache.isEmpty ? nil : cache, reason: reason))
    }

    private mutating func redisFailed(_ error: String) async -> PumpStateMachine.Event {
        await tell(error, of: .redis)
        telemetry.redisFailed()
        return .redisFailed
    }

    private mutating func tell(_ error: some Sendable, of server: WorkerEvent.Server) async {
        let text = "\(error)"
        guard reported.errors[server] != text else { return }
        reported.errors[server] = text
        logger.error("\(server.rawValue) fails; trying again", metadata: ["error": "\(text)"])
        await onEvent(.failing(server: server, error: text))
    }
}

extension Logger {
    /// Tells that keys were removed which held something else.
    func tellDamagedKeys(_ count: Int64, of cache: String) {
        warning("Removed keys that hold something else", metadata: ["cache": "\(cache)", "keys": "\(count)"])
    }
}

extension PumpStateMachine.Action {
    /// Whether a failure while it is carried out is one of Redis.
    fileprivate var isAboutRedis: Bool {
        switch self {
        case .observeHeads, .apply: true
        default: false
        }
    }

    fileprivate var step: PumpStep {
        switch self {
        case .connect, .giveUpLead, .findPrimary: .connecting
        case .tryToLead, .standBy: .standingBy
        case .takeOver: .takingOver
        case .observeHeads: .observing
        case .claim: .claiming
        case .apply: .applying
        case .commit: .committing
        case .waitForChange: .waiting
        case .rollBack, .backOff: .backingOff
        case .leave, .stop: .leaving
        }
    }
}
