// What the worker does next, as a pure function of what has happened. The ``Pump`` carries the actions out; every action is
// answered by exactly one event.
//
//     disconnected ──connect──▶ standing by ──lock──▶ taking over ──LISTEN, identity──▶ idle
//          ▲                      ▲   │ busy: wait                                       │ wake or poll
//          │                      └───┘                                                  ▼
//          │                                          observe heads ──▶ claim ──▶ apply ──▶ commit ──▶ idle
//          └── any failure of Postgres, from anywhere    │                │          │
//                                                        └── Redis fails ─┴──────────┴──▶ roll back, back off, idle
//
// Invariants:
// * LISTEN comes before the first claim of a session, so nothing falls between a claim and the notification of the next
//   change. While another session of the worker listens for hints, this one need not; when either begins to, a pass follows.
// * The heads are observed, and with them the time, before the claim. A promise made later in the pass is about a moment
//   before its snapshot. If the process is paused anywhere in between, the promise is old when it is made.
// * The floor is only set by a committed pass that deleted every row it saw, and is forgotten with the session, with a
//   batch that was rolled back, and once in every sweep interval.
// * Every cache of a claim was observed before it. Where the claim shows another one, because its tables were attached since,
//   it is rolled back, and the pass begins anew with that cache's heads.
// * A worker whose Postgres was left behind by a promotion promises nothing: it closes its session and tries to find the
//   new primary.
// * A leader that has not reached Redis for a lease closes its session, and stays away for longer than a standby waits: the
//   standby may be on the side of the network that reaches it. Readers are degraded by then, so nothing is lost.
// * A shutdown takes effect between passes, never inside one.
//
// Rejected: waiting for a notification inside the pass (a silent connection would hold up the lease), and keeping the lock
// over a new connection (the lock is the session's; that is its point).

import Keyspace

package struct PumpStateMachine: Sendable {
    struct Configuration: Sendable {
        /// The caches that are served where they are attached, the first always.
        var caches: [ServedCache] = [ServedCache(rules: WorkflowRules(), namespace: .workflows)]
        var limits = KeyspaceLimits()
        /// How often the journal is looked at, and the lease renewed, without a notification.
        var pollInterval: Duration = .seconds(1)
        /// The same where notifications are switched off.
        var pollIntervalWithoutNotifications: Duration = .milliseconds(100)
        /// How often a standby tries to lead.
        var leadershipInterval: Duration = .milliseconds(500)
        /// How often the journal is read without a floor.
        var sweepInterval: Duration = .seconds(60)
        /// How long to wait before looking for another primary.
        var leftBehindInterval: Duration = .seconds(5)
    }

    enum Action: Equatable, Sendable {
        /// Close whatever session there is, wait, open a new one.
        case connect(after: Duration)
        /// The same, because readers rely on a timeline that this Postgres was left behind by.
        case findPrimary(after: Duration, PostgresIdentity, ahead: PostgresIdentity)
        /// The same, because Redis has not been reached for a lease: somebody else may reach it.
        case giveUpLead(after: Duration)
        case tryToLead
        /// Stand by: wait, but notice at once if the session is lost.
        case standBy(Duration)
        /// LISTEN, and make sure that the incarnation has a token.
        case takeOver
        case observeHeads([CacheNamespace])
        case claim(ClaimRequest)
        case apply([PassPlan])
        case commit([PassPlan.Acknowledgement])
        case rollBack
        /// Wait for a notification, at the most so long.
        case waitForChange(Duration)
        /// Wait so long, whatever is notified: Redis has failed.
        case backOff(Duration)
        /// Give the leadership back and close the session.
        case leave
        case stop
    }

    enum Event: Equatable, Sendable {
        case connected(notifies: Bool)
        /// The session with Postgres is lost, or could not be opened.
        case disconnected
        case lockAcquired
        case lockBusy
        case tookOver(PostgresIdentity)
        case observed([CacheNamespace: [ObservedHead]])
        case claimed(Claim)
        /// The claim failed because the attached tables of these caches cannot be read; its transaction is over.
        case factsUnreadable([String: String])
        case applied([PassOutcome])
        /// A head was no longer as observed: nothing, or only a part, was applied.
        case fenced
        case redisFailed
        case committed
        case rolledBack
        case woke
        case left
    }

    package struct ClaimRequest: Equatable, Sendable {
        package var floor: SnapshotFloor?
        package var nextMark: String
        /// The caches whose facts cannot be looked up now, and why.
        package var factsProblems: [String: String] = [:]
    }

    /// What a session is doing.
    ///
    /// Only what must survive from one action to the next.
    private enum State: Sendable {
        case disconnected
        case standingBy
        case idle
        case observing
        case claiming([CacheNamespace: [ObservedHead]], ClaimRequest)
        case applying([PassPlan], Claim)
        case committing(Claim)
        case rollingBack(thenAtOnce: Bool)
        case stopped
    }

    private var configuration: Configuration
    private var state = State.disconnected
    private var randomness: any RandomNumberGenerator & Sendable
    private var postgresBackoff = Backoff()
    private var redisBackoff = Backoff()
    /// Since when this leader has not reached Redis.
    private var redisFailingSince: ContinuousClock.Instant?
    private var notifies = true
    private var identity: PostgresIdentity?
    private var floor: SnapshotFloor?
    private var lastSweep: ContinuousClock.Instant?
    /// The caches that the last claim showed, by name.
    private var present: Set<String> = []
    private var isLeaving = false

    init(
        configuration: Configuration,
        randomness: any RandomNumberGenerator & Sendable = SystemRandomNumberGenerator()
    ) {
        self.configuration = configuration
        self.randomness = randomness
    }

    /// Whether this worker holds the leadership and has taken over.
    var isLeading: Bool { identity != nil }

    /// The first action.
    func start() -> Action { .connect(after: .zero) }

    /// Leave at the end of what is going on now.
    mutating func shutDown() {
        isLeaving = true
    }

    /// Look so often, from the next action on.
    mutating func take(_ intervals: WorkerIntervals) {
        configuration.pollInterval = intervals.poll
        configuration.pollIntervalWithoutNotifications = min(
            configuration.pollIntervalWithoutNotifications,
            intervals.poll
        )
        configuration.leadershipInterval = intervals.leadership
    }

    /// The next action, after the last one ended with `event` at `now`.
    mutating func next(after event: Event, at now: ContinuousClock.Instant) -> Action {
        switch (event, state) {
        case (.left, _):
            forgetSession()
            state = .stopped
            return .stop
        case (.disconnected, _):
            forgetSession()
            if isLeaving { return .leave }
            return .connect(after: nextDelay(of: \.postgresBackoff))

        case (.connected(let notifies), _):
            self.notifies = notifies
            state = .standingBy
            return isLeaving ? .leave : .tryToLead
        case (.lockBusy, _):
            postgresBackoff.reset()
            return isLeaving ? .leave : .standBy(configuration.leadershipInterval)
        case (.woke, .standingBy):
            return isLeaving ? .leave : .tryToLead
        case (.lockAcquired, _):
            return .takeOver
        case (.tookOver(let identity), _):
            self.identity = identity
            return beginPass()

        case (.woke, .idle):
            return beginPass()
        case (.observed(let heads), .observing):
            return claim(after: heads, factsProblems: [:], at: now)
        case (.factsUnreadable(let problems), .claiming(let heads, let request)):
            let all = request.factsProblems.merging(problems) { _, new in new }
            return claim(after: heads, factsProblems: all, at: now)
        case (.claimed(let claim), .claiming(let heads, let request)):
            postgresBackoff.reset()
            guard let identity else { return restart() }
            present = Set(claim.caches.map(\.cache))
            let served = configuration.caches.compactMap { cache in
                claim.caches.first { $0.cache == cache.name }.map { (cache: cache, claim: $0) }
            }
            guard served.allSatisfy({ heads[$0.cache.namespace] != nil }) else {
                state = .rollingBack(thenAtOnce: true)
                return .rollBack
            }
            let plans = served.map { cache, part in
                PassPlan(
                    claim: part,
                    snapshot: claim.snapshot,
                    heads: heads[cache.namespace] ?? [],
                    identity: identity,
                    nextMark: request.nextMark,
                    namespace: cache.namespace,
                    limits: configuration.limits
                )
            }
            state = .applying(plans, claim)
            return .apply(plans)
        case (.applied, .applying(let plans, let claim)):
            // Not before: a Redis that can be read need not be one that can be written.
            redisBackoff.reset()
            redisFailingSince = nil
            state = .committing(claim)
            return .commit(plans.compactMap(\.acknowledgement))
        case (.committed, .committing(let claim)):
            if claim.deletedCount == claim.rowCount { floor = SnapshotFloor(snapshot: claim.snapshot) }
            return idle(for: notifies ? configuration.pollInterval : configuration.pollIntervalWithoutNotifications)

        case (.fenced, .applying):
            state = .rollingBack(thenAtOnce: false)
            return .rollBack
        case (.redisFailed, .observing):
            return giveUpOrBackOff(at: now)
        case (.redisFailed, .applying):
            state = .rollingBack(thenAtOnce: false)
            return .rollBack
        case (.rolledBack, .rollingBack(let thenAtOnce)):
            floor = nil
            return thenAtOnce ? beginPass() : giveUpOrBackOff(at: now)

        default:
            // The pump answers each action with one of its own events, so this is a defect of the pump. A new session is
            // right after any confusion: the journal keeps what was not committed.
            return restart()
        }
    }

    private mutating func beginPass() -> Action {
        if isLeaving { return .leave }
        state = .observing
        // Of a cache that is not attached nothing is read.
        let caches = configuration.caches.enumerated().filter { $0.offset == 0 || present.contains($0.element.name) }
        return .observeHeads(caches.map(\.element.namespace))
    }

    private mutating func claim(
        after heads: [CacheNamespace: [ObservedHead]],
        factsProblems: [String: String],
        at now: ContinuousClock.Instant
    ) -> Action {
        let observed = heads.values.joined().compactMap { PostgresIdentity($0.fence.postgres) }
        if let identity, let ahead = observed.first(where: identity.isBehind) {
            forgetSession()
            return isLeaving ? .leave : .findPrimary(after: configuration.leftBehindInterval, identity, ahead: ahead)
        }
        if lastSweep.map({ now - $0 >= configuration.sweepInterval }) ?? true {
            lastSweep = now
            floor = nil
        }
        let request = ClaimRequest(
            floor: floor,
            nextMark: Generation.nonceText(randomness.next()),
            factsProblems: factsProblems
        )
        state = .claiming(heads, request)
        return .claim(request)
    }

    private mutating func idle(for interval: Duration) -> Action {
        if isLeaving { return .leave }
        state = .idle
        return .waitForChange(interval)
    }

    private mutating func giveUpOrBackOff(at now: ContinuousClock.Instant) -> Action {
        if isLeaving { return .leave }
        let since = redisFailingSince ?? now
        redisFailingSince = since
        if now - since >= configuration.limits.lease {
            let delay = max(configuration.leadershipInterval * 2, nextDelay(of: \.redisBackoff))
            forgetSession()
            return .giveUpLead(after: delay)
        }
        state = .idle
        return .backOff(nextDelay(of: \.redisBackoff))
    }

    private mutating func restart() -> Action {
        forgetSession()
        return .connect(after: nextDelay(of: \.postgresBackoff))
    }

    private mutating func forgetSession() {
        state = .disconnected
        identity = nil
        floor = nil
        lastSweep = nil
        redisFailingSince = nil
    }

    private mutating func nextDelay(of backoff: WritableKeyPath<Self, Backoff>) -> Duration {
        var generator = randomness
        defer { randomness = generator }
        return self[keyPath: backoff].next(using: &generator)
    }
}
