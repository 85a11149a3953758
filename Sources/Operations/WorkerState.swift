// What is known of a worker that runs: fed with what it tells, read by whoever shows it to people (the status page, systemd, a
// screen). It is a value behind a lock, and nothing that is told to it waits for anything.
//
// What it knows is what the worker has told, no more: the rows that wait in the journal while Redis is away, for example, nobody
// has claimed, so that they must be asked for in Postgres.
//
// Everything that grows is bounded: recent passes and what each lists, seconds of the past, tables, and the names of applications,
// which writers choose freely. Those that do not fit are counted under ``WorkerState/otherApplications``.

package import InvalidationWorker
import Keyspace
import NIOConcurrencyHelpers

/// What is known of a worker that runs.
package final class WorkerState: Sendable {
    /// What the worker does about leading.
    package enum Role: Hashable, Sendable {
        /// It has no session, or has not been told yet who leads.
        case starting
        /// Another session leads, by its process id in Postgres where that is known.
        case standingBy(leader: Int64?)
        case leading
    }

    /// What a server said when it last did not do what it was asked; forgotten when it did.
    package struct Failure: Hashable, Sendable {
        package var error: String
        package var since: ContinuousClock.Instant
    }

    /// What the loop of the worker did last.
    package struct Progress: Hashable, Sendable {
        /// What it began to do.
        package var step: PumpStep
        /// When.
        package var at: ContinuousClock.Instant
        /// How often it has begun anything.
        package var turns: UInt64
    }

    /// What the worker knows of one cache.
    package struct CacheTrust: Hashable, Sendable {
        /// Why nothing is promised, and since when that is so; nil where nothing is wrong.
        package var distrust: String?
        package var distrustedSince: ContinuousClock.Instant?
        /// The moment that the last promise was about.
        package var vouchedFor: ContinuousClock.Instant?
    }

    /// One pass that was not empty, with the beginning of what it did.
    package struct RecentPass: Sendable {
        /// Rising by one with each pass.
        package var number: UInt64
        /// When it was committed.
        package var at: ContinuousClock.Instant
        package var report: PassReport
        /// How many changes it had, of which ``report`` has the first.
        package var changeCount: Int
        /// How many scopes it had, of which ``scopes`` has the first.
        package var scopeCount: Int
        /// What it invalidated, in a reader's words: `everything`, `1`, `1 global`, `1 in 7`.
        package var scopes: [String]
    }

    /// What was applied in one second.
    package struct Second: Hashable, Sendable {
        /// Whole seconds since the state was made.
        package var number: Int64
        /// Rows of the journal, by cache and subject: `workflows/detector`.
        package var changesByTable: [String: Int64] = [:]
        /// Rows of the journal by the writer's `application_name`.
        package var changesByApplication: [String: Int64] = [:]
        /// Generations raised.
        package var bumps: Int64 = 0
        /// Things invalidated, whether or not anybody had cached them.
        package var scopes: Int64 = 0
        /// The rows of all kinds.
        package var changes: Int64 = 0
        /// The longest pass.
        package var slowest: Duration = .zero
        /// The longest time from a change's trigger to its invalidation; nil where none is known.
        package var longestLag: Duration?

        package init(number: Int64) { self.number = number }
    }

    /// What an auditor beside the worker has found in one cache since it began.
    package struct Audit: Hashable, Sendable {
        package var consistent = 0
        package var inFlight = 0
        package var inconsistent = 0
        package var undecided = 0
        /// How many nines its last round has shown, or the one under way once an entry of it is wrong.
        package var nines = 0.0
        /// When it last looked.
        package var at: ContinuousClock.Instant

        package init(consistent: Int, inFlight: Int, inconsistent: Int, undecided: Int, nines: Double) {
            self.consistent = consistent
            self.inFlight = inFlight
            self.inconsistent = inconsistent
            self.undecided = undecided
            self.nines = nines
            at = .now
        }
    }

    /// Everything that is known at one moment.
    package struct Snapshot: Sendable {
        package var now: ContinuousClock.Instant
        package var startedAt: ContinuousClock.Instant
        package var role = Role.starting
        /// Since when the role is what it is.
        package var roleSince: ContinuousClock.Instant
        package var failures: [WorkerEvent.Server: Failure] = [:]
        /// Why the worker does nothing at all although its servers answer; nil where it works.
        package var obstacle: String?
        /// By the names of the caches in Postgres; empty before the first pass.
        package var caches: [String: CacheTrust] = [:]
        package var progress: Progress
        /// Whether Postgres is at work on a claim, which takes as long as it does: everything else has a time limit.
        package var isClaimUnderWay = false
        /// When the last pass was committed, as the leader that it is now.
        package var committedAt: ContinuousClock.Instant?
        /// How many rows of the journal the last pass saw.
        package var lastRowCount: Int64 = 0
        /// How long a promise holds.
        package var lease: Duration
        /// The last ``WorkerState/secondsKept`` seconds in which something was applied, oldest first.
        package var seconds: [Second] = []
        /// The passes that were not empty, oldest first, ``WorkerState/passesKept`` at the most.
        package var passes: [RecentPass] = []
        /// Since the start.
        package var totals = Second(number: 0)
        /// From a change's trigger to its invalidation, of the last ``WorkerState/lagsKept`` changes, oldest first.
        package var lags: [Duration] = []
        /// What an auditor beside the worker has found, by cache; empty where none runs.
        package var audits: [String: Audit] = [:]

        /// How long ago the leader's last promise of any cache was about; nil before the first.
        package var vouchedAgo: Duration? {
            caches.values.compactMap(\.vouchedFor).max().map { $0.duration(to: now) }
        }

        /// Whether readers are told that a cache can be relied on, as far as this worker knows.
        package func isVouched(_ cache: String) -> Bool {
            caches[cache]?.vouchedFor.map { $0.duration(to: now) < lease } ?? false
        }

        /// The second that it is.
        package var second: Int64 { Second.number(of: now, since: startedAt) }

        /// Rows of the journal applied a second, over the last ``WorkerState/rateSeconds`` whole seconds.
        package var changesPerSecond: Double { rate(\.changes) }

        /// The mean of a count over the last whole seconds, a second.
        package func rate(_ count: KeyPath<Second, Int64>) -> Double {
            let span = min(WorkerState.rateSeconds, max(second, 1))
            let recent = seconds.reversed().prefix { $0.number >= second - span }.filter { $0.number < second }
            return Double(recent.reduce(0) { $0 + $1[keyPath: count] }) / Double(span)
        }
    }

    /// The name under which applications are counted that came after too many others.
    package static let otherApplications = "(other)"
    /// How many seconds are remembered.
    package static let secondsKept: Int64 = 300
    /// Over how many seconds a rate is taken.
    package static let rateSeconds: Int64 = 10
    /// How many passes are remembered.
    package static let passesKept = 50
    /// How many times from trigger to invalidation are remembered.
    package static let lagsKept = 500
    /// How many names of applications are remembered, the others among them.
    package static let applicationsKept = 50
    fileprivate static let (changesKept, scopesKept, tablesKept, textKept) = (20, 10, 50, 100)

    fileprivate struct State: Sendable {
        var known: Snapshot
        var passNumber: UInt64 = 0
    }

    private let state: NIOLockedValueBox<State>
    private let clock: @Sendable () -> ContinuousClock.Instant
    private let redact: @Sendable (String) -> String
    /// For `InvalidationWorker.claimWait`.
    package let claimWait = ClaimWait()

    /// - Parameters:
    ///   - lease: How long a promise holds.
    ///   - clock: Tells the time.
    ///   - redact: Takes secrets out of what a server said.
    package init(
        lease: Duration,
        clock: @escaping @Sendable () -> ContinuousClock.Instant = { .now },
        redact: @escaping @Sendable (String) -> String = { $0 }
    ) {
        let now = clock()
        self.clock = clock
        self.redact = redact
        state = NIOLockedValueBox(
            State(
                known: Snapshot(
                    now: now,
                    startedAt: now,
                    roleSince: now,
                    progress: Progress(step: .connecting, at: now, turns: 0),
                    lease: lease
                )
            )
        )
    }

    /// What is known now.
    package var snapshot: Snapshot {
        let now = clock()
        return state.withLockedValue { state in
            state.known.dropOldSeconds(at: now)
            var known = state.known
            known.now = now
            known.isClaimUnderWay = claimWait.isUnderWay
            return known
        }
    }

    /// What the loop did last, without the cost of everything else.
    package var progress: Progress { state.withLockedValue { $0.known.progress } }

    /// Takes a turn of the worker's loop; for `InvalidationWorker.onTurn`.
    @Sendable package func turn(_ step: PumpStep) {
        let now = clock()
        state.withLockedValue { state in
            state.known.progress.step = step
            state.known.progress.at = now
            state.known.progress.turns += 1
            // Whoever connects has no session, and with it no lead.
            if step == .connecting { state.known.take(.starting, at: now) }
        }
    }

    /// Takes what a worker tells; for `InvalidationWorker.init(…, onEvent:)`.
    @Sendable package func note(_ event: WorkerEvent) {
        let now = clock()
        var event = event
        switch event {
        case .failing(let server, let error): event = .failing(server: server, error: redact(error))
        case .distrusting(let cache, let reason): event = .distrusting(cache: cache, reason: redact(reason))
        case .committed(var pass):
            pass.distrust = pass.distrust.mapValues(redact)
            event = .committed(pass)
        case .standingBy, .leading, .applied, .vouched: break
        }
        state.withLockedValue { $0.note(event, at: now) }
    }

    /// Takes what an auditor has found in one cache since it began.
    package func note(_ audit: Audit, of cache: String) {
        var audit = audit
        audit.at = clock()
        state.withLockedValue { $0.known.audits[cache] = audit }
    }
}

extension WorkerState.State {
    fileprivate mutating func note(_ event: WorkerEvent, at now: ContinuousClock.Instant) {
        switch event {
        case .standingBy(let leader):
            known.take(.standingBy(leader: leader), at: now)
            // Postgres answers, and of Redis a standby asks nothing.
            known.failures = [:]
            // What this worker promised while it led, another promises now.
            known.caches = [:]
            known.committedAt = nil
            known.obstacle = nil
        case .leading:
            known.take(.leading, at: now)
            known.committedAt = nil
        case .applied(let report):
            passNumber += 1
            known.add(report, number: passNumber, at: now)
        case .committed(let pass):
            known.failures = [:]
            known.obstacle = nil
            known.committedAt = now
            known.lastRowCount = pass.rowCount
            known.caches = known.caches.filter { pass.vouched.contains($0.key) || pass.distrust[$0.key] != nil }
            for cache in pass.vouched {
                known.caches[cache] = WorkerState.CacheTrust(vouchedFor: now - pass.duration)
            }
            for (cache, reason) in pass.distrust {
                known.caches[cache, default: WorkerState.CacheTrust()].distrust = reason
                if known.caches[cache]?.distrustedSince == nil { known.caches[cache]?.distrustedSince = now }
            }
        case .vouched, .distrusting(.some, _):
            // Each committed pass says the same, also when it is over.
            break
        case .distrusting(nil, let reason):
            known.obstacle = reason
        case .failing(let server, let error):
            known.failures[server] = WorkerState.Failure(
                error: error,
                since: known.failures[server]?.since ?? now
            )
        }
    }
}

extension WorkerState.Snapshot {
    fileprivate mutating func take(_ role: WorkerState.Role, at now: ContinuousClock.Instant) {
        guard role != self.role else { return }
        self.role = role
        roleSince = now
    }

    fileprivate mutating func add(_ report: PassReport, number: UInt64, at now: ContinuousClock.Instant) {
        let scopeCount = report.scopes.count
        var kept = report
        kept.changes = Array(report.changes.prefix(WorkerState.changesKept))
        for index in kept.changes.indices { kept.changes[index].shorten() }
        kept.scopes = ScopeSet()
        passes.append(
            WorkerState.RecentPass(
                number: number,
                at: now,
                report: kept,
                changeCount: report.changes.count,
                scopeCount: scopeCount,
                scopes: report.scopes.texts(WorkerState.scopesKept)
            )
        )
        if passes.count > WorkerState.passesKept { passes.removeFirst() }

        dropOldSeconds(at: now)
        let second = WorkerState.Second.number(of: now, since: startedAt)
        if seconds.last?.number != second { seconds.append(WorkerState.Second(number: second)) }
        let lags = report.lags
        let counts = WorkerState.Second.Counts(report)
        seconds[seconds.count - 1].add(report, counts, longestLag: lags.max(), scopeCount: scopeCount)
        totals.add(report, counts, longestLag: lags.max(), scopeCount: scopeCount)
        self.lags += lags.suffix(WorkerState.lagsKept)
        if self.lags.count > WorkerState.lagsKept { self.lags.removeFirst(self.lags.count - WorkerState.lagsKept) }
    }

    fileprivate mutating func dropOldSeconds(at now: ContinuousClock.Instant) {
        let oldest = WorkerState.Second.number(of: now, since: startedAt) - WorkerState.secondsKept
        seconds.removeAll { $0.number < oldest }
    }
}

extension WorkerState.Second {
    fileprivate static func number(
        of moment: ContinuousClock.Instant,
        since start: ContinuousClock.Instant
    ) -> Int64 {
        start.duration(to: moment).components.seconds
    }

    /// How many changes of a pass go under each name; those with the least first, so that these give way to the others.
    fileprivate struct Counts {
        var tables: [(name: String, count: Int64)] = []
        var applications: [(name: String, count: Int64)] = []

        init(_ report: PassReport) {
            var subjects: [String: Int64] = [:]
            var names: [String: Int64] = [:]
            for change in report.changes {
                subjects[change.subject, default: 0] += 1
                names[change.applicationName ?? "", default: 0] += 1
            }
            // A backlog that was collapsed: nobody has looked whose rows they are.
            if report.changes.isEmpty && report.rowCount > 0 { subjects["collapsed"] = report.rowCount }
            tables = Self.ascending(subjects) { "\(report.namespace.name)/\($0)" }
            applications = Self.ascending(names) { String($0.prefix(WorkerState.textKept)) }
        }

        private static func ascending(
            _ counts: [String: Int64],
            _ name: (String) -> String
        ) -> [(name: String, count: Int64)] {
            counts.map { (name: name($0.key), count: $0.value) }.sorted { ($0.count, $0.name) < ($1.count, $1.name) }
        }
    }

    fileprivate mutating func add(_ report: PassReport, _ counts: Counts, longestLag: Duration?, scopeCount: Int) {
        changes += report.rowCount
        bumps += report.bumpCount
        scopes += Int64(scopeCount)
        slowest = max(slowest, report.duration)
        if let lag = longestLag { self.longestLag = max(self.longestLag ?? .zero, lag) }
        for (name, number) in counts.tables { count(number, of: name, in: \.changesByTable, WorkerState.tablesKept) }
        for (name, number) in counts.applications {
            count(number, of: name, in: \.changesByApplication, WorkerState.applicationsKept)
        }
    }

    /// Counts under a name.
    ///
    /// Where there are too many, the one with the least is counted with the others from now on: who causes most is kept, however many
    /// come before.
    private mutating func count(
        _ count: Int64,
        of name: String,
        in counts: WritableKeyPath<Self, [String: Int64]>,
        _ limit: Int
    ) {
        let others = WorkerState.otherApplications
        let hasOthers = self[keyPath: counts][others] != nil
        if self[keyPath: counts][name] == nil, self[keyPath: counts].count >= (hasOthers ? limit : limit - 1),
            let least = self[keyPath: counts].filter({ $0.key != others }).min(by: {
                ($0.value, $0.key) < ($1.value, $1.key)
            })
        {
            self[keyPath: counts][least.key] = nil
            self[keyPath: counts][others, default: 0] += least.value
        }
        self[keyPath: counts][name, default: 0] += count
    }
}

extension PassReport.ChangeSummary {
    fileprivate mutating func shorten() {
        applicationName = applicationName.map { String($0.prefix(WorkerState.textKept)) }
        userName = userName.map { String($0.prefix(WorkerState.textKept)) }
        // The pass keeps their texts.
        scopes = nil
    }
}

extension ScopeSet {
    /// The first scopes in a reader's words.
    fileprivate func texts(_ limit: Int) -> [String] {
        if coversNamespace { return ["everything"] }
        var texts: [String] = []
        for (entity, variants) in entities {
            guard texts.count < limit else { break }
            let name = String(entity.text.prefix(WorkerState.textKept))
            switch variants {
            case .every: texts.append(name)
            case .some(let some):
                // Numbers by their size.
                for variant in some.sorted(by: { ($0.text.count, $0.text) < ($1.text.count, $1.text) })
                where texts.count < limit {
                    // An entity that is named by texts has one variant alone.
                    let place = name.contains("/") ? "" : variant == .global ? " global" : " in \(variant)"
                    texts.append(name + place)
                }
            }
        }
        return texts
    }
}

extension PassReport {
    /// From each change's trigger to its invalidation, where both are known.
    package var lags: [Duration] {
        guard let end = invalidatedAtMicroseconds else { return [] }
        return changes.compactMap { change in
            // A clock that was set back says less than nothing.
            change.changedAtMicroseconds.map { .microseconds(max(end - $0, 0)) }
        }
    }
}
