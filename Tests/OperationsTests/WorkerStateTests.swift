import InvalidationWorker
import Keyspace
import NIOConcurrencyHelpers
import Testing

@testable import Operations

@Suite struct WorkerStateTests {
    private let clock = SteppedClock()
    private let state: WorkerState

    init() {
        state = WorkerState(lease: .seconds(5), clock: clock.read)
    }

    // MARK: Who leads

    @Test func `a worker that has no session is starting`() {
        #expect(state.snapshot.role == .starting)
        #expect(state.snapshot.line == "Starting: connecting to Postgres")
    }

    @Test func `a standby says who leads`() {
        state.note(.standingBy(leader: 4_711))
        #expect(state.snapshot.role == .standingBy(leader: 4_711))
        #expect(state.snapshot.line == "Standing by: pid 4711 leads")
        state.note(.standingBy(leader: nil))
        #expect(state.snapshot.line == "Standing by: another session leads")
    }

    @Test func `who connects leads no more`() {
        lead()
        state.turn(.connecting)
        #expect(state.snapshot.role == .starting)
    }

    @Test func `the role is held since it was taken, however often it is told`() {
        state.note(.standingBy(leader: 1))
        let since = clock.now
        clock.advance(by: .seconds(3))
        state.note(.standingBy(leader: 1))
        #expect(state.snapshot.roleSince == since)
    }

    // MARK: Failures

    @Test func `a failure stands in the line until the server answers, and counts from when it began`() {
        lead()
        let since = clock.now
        state.note(.failing(server: .postgres, error: "password authentication failed for user \"app\""))
        clock.advance(by: .seconds(2))
        state.note(.failing(server: .postgres, error: "connection refused"))
        #expect(state.snapshot.failures[.postgres] == .init(error: "connection refused", since: since))
        #expect(state.snapshot.line == "Waiting for Postgres: connection refused")
        state.note(.standingBy(leader: 2))
        #expect(state.snapshot.failures.isEmpty)
    }

    @Test func `a pass that was committed ends the failure of Redis`() {
        lead()
        state.note(.failing(server: .redis, error: "READONLY"))
        #expect(state.snapshot.line == "Waiting for Redis: READONLY")
        state.note(.committed(pass(vouched: ["workflows"])))
        #expect(state.snapshot.failures.isEmpty)
    }

    @Test func `a standby asks Redis nothing, so that an old failure of it is none any more`() {
        lead()
        state.note(.failing(server: .redis, error: "connection refused"))
        state.note(.standingBy(leader: 3))
        #expect(state.snapshot.failures.isEmpty)
        #expect(state.snapshot.line == "Standing by: pid 3 leads")
        state.note(.leading)
        #expect(state.snapshot.committedAt == nil)
    }

    @Test func `an error of several lines is told in one`() {
        state.note(.failing(server: .postgres, error: "FATAL: no\nHINT: try\r\nagain"))
        #expect(state.snapshot.line == "Waiting for Postgres: FATAL: no HINT: try again")
    }

    // MARK: Trust

    @Test func `a promise is about the moment at which its pass began, and holds for a lease`() {
        lead(passDuration: .milliseconds(500))
        #expect(state.snapshot.vouchedAgo == .milliseconds(500))
        #expect(state.snapshot.isVouched("workflows"))
        clock.advance(by: .milliseconds(4_400))
        #expect(state.snapshot.isVouched("workflows"))
        clock.advance(by: .milliseconds(200))
        #expect(!state.snapshot.isVouched("workflows"))
        #expect(!state.snapshot.isVouched("unheard of"))
    }

    @Test func `distrust of one cache leaves the promise of the other, and ends with the pass that does not say so`() {
        lead()
        let since = clock.now
        state.note(.committed(pass(vouched: ["workflows"], distrust: ["datasources": "trigger off"])))
        clock.advance(by: .seconds(1))
        state.note(.committed(pass(vouched: ["workflows"], distrust: ["datasources": "trigger off"])))
        let known = state.snapshot
        #expect(known.isVouched("workflows"))
        #expect(!known.isVouched("datasources"))
        #expect(known.caches["datasources"]?.distrust == "trigger off")
        #expect(known.caches["datasources"]?.distrustedSince == since)
        #expect(known.line.contains("not vouching for datasources: trigger off"))
        state.note(.committed(pass(vouched: ["workflows", "datasources"])))
        #expect(state.snapshot.caches["datasources"]?.distrust == nil)
        #expect(state.snapshot.isVouched("datasources"))
    }

    @Test func `a cache that was detached is forgotten`() {
        state.note(.committed(pass(vouched: ["workflows", "datasources"])))
        state.note(.committed(pass(vouched: ["workflows"])))
        #expect(state.snapshot.caches.keys.sorted() == ["workflows"])
    }

    @Test func `what keeps the worker from doing anything is said until a pass is committed`() {
        state.note(.distrusting(cache: nil, reason: "this Postgres is on timeline 1"))
        #expect(state.snapshot.line == "Waiting: this Postgres is on timeline 1")
        state.note(.committed(pass(vouched: ["workflows"])))
        #expect(state.snapshot.obstacle == nil)
    }

    // MARK: Progress

    @Test func `each turn is progress, whatever it is about`() {
        let before = state.progress.turns
        clock.advance(by: .seconds(1))
        state.turn(.backingOff)
        #expect(state.progress == .init(step: .backingOff, at: clock.now, turns: before + 1))
    }

    // MARK: What was applied

    @Test func `the line of a leader has the rate, the journal and the age of the promise`() {
        lead()
        #expect(state.snapshot.line == "Leading: 0 changes/s, journal empty, vouched 0.0 s ago")
        for _ in 0..<120 { state.note(.applied(report())) }
        clock.advance(by: .seconds(10))
        state.note(.committed(pass(vouched: ["workflows"])))
        clock.advance(by: .milliseconds(400))
        state.turn(.waiting)
        #expect(state.snapshot.line == "Leading: 12 changes/s, journal empty, vouched 0.4 s ago")
    }

    @Test func `a leader that hangs says in what`() {
        lead()
        state.turn(.claiming)
        clock.advance(by: .seconds(12))
        #expect(state.snapshot.line == "Leading: 0 changes/s, claiming for 12 s, vouched 12 s ago")
    }

    @Test func `a rate is over whole seconds, and ends with them`() {
        state.note(.applied(report()))
        #expect(state.snapshot.changesPerSecond == 0)
        clock.advance(by: .seconds(1))
        #expect(state.snapshot.changesPerSecond == 1)
        clock.advance(by: .seconds(9))
        #expect(state.snapshot.changesPerSecond == 0.1)
        clock.advance(by: .seconds(1))
        #expect(state.snapshot.changesPerSecond == 0)
    }

    @Test func `changes are counted by table and by application`() {
        state.note(.applied(report(subjects: ["detector", "link", "link"], application: "admin")))
        state.note(.applied(report(subjects: ["link"], application: nil)))
        let totals = state.snapshot.totals
        #expect(totals.changesByTable == ["workflows/detector": 1, "workflows/link": 3])
        #expect(totals.changesByApplication == ["admin": 3, "": 1])
        #expect(totals.changes == 4)
    }

    @Test func `a backlog that was collapsed is counted, though nobody knows whose it was`() {
        var collapsed = report(subjects: [])
        collapsed.rowCount = 200_000
        collapsed.scopes = ScopeSet([.namespace])
        state.note(.applied(collapsed))
        #expect(state.snapshot.totals.changesByTable == ["workflows/collapsed": 200_000])
        #expect(state.snapshot.passes.last?.scopes == ["everything"])
    }

    @Test func `the scopes are told in a reader's words`() {
        var one = report()
        one.scopes = ScopeSet([.entry(Entity(7), .global)])
        state.note(.applied(one))
        one.scopes = ScopeSet([.entity(Entity(8))])
        state.note(.applied(one))
        one.scopes = ScopeSet([.entry(Entity(9), Variant(5))])
        state.note(.applied(one))
        #expect(state.snapshot.passes.map(\.scopes) == [["7 global"], ["8"], ["9 in 5"]])
    }

    // MARK: Bounds

    @Test func `nothing grows without bound`() {
        for number in 0..<1_000 {
            let long = String(repeating: "x", count: 500)
            var many = report(subjects: Array(repeating: "link", count: 50), application: "\(number) \(long)")
            many.scopes = ScopeSet((0..<100).map { .entity(Entity($0)) })
            state.note(.applied(many))
            if number.isMultiple(of: 2) { clock.advance(by: .seconds(1)) }
        }
        let known = state.snapshot
        #expect(known.passes.count == WorkerState.passesKept)
        #expect(known.passes.allSatisfy { $0.report.changes.count == 20 && $0.changeCount == 50 })
        #expect(known.passes.allSatisfy { $0.scopes.count == 10 && $0.scopeCount == 100 })
        #expect(known.seconds.count <= Int(WorkerState.secondsKept) + 1)
        #expect(known.totals.changesByApplication.count == WorkerState.applicationsKept)
        #expect(known.totals.changesByApplication.values.reduce(0, +) == 50_000)
        #expect(known.seconds.allSatisfy { $0.changesByApplication.count <= WorkerState.applicationsKept })
        #expect(known.totals.changesByApplication.keys.allSatisfy { $0.count <= 100 })
        #expect(known.totals.changes == 50_000)
        clock.advance(by: .seconds(1_000))
        #expect(state.snapshot.seconds.isEmpty)
    }

    @Test func `of one pass with many applications those with most are known by name`() {
        var many = report()
        many.changes = (0..<60).flatMap { number in
            Array(
                repeating: report(application: "app:\(number)").changes[0],
                count: number == 30 ? 100 : 1 + number % 2
            )
        }
        state.note(.applied(many))
        let counts = state.snapshot.totals.changesByApplication
        #expect(counts.count == WorkerState.applicationsKept)
        #expect(counts["app:30"] == 100)
        #expect((0..<60).filter { !$0.isMultiple(of: 2) }.allSatisfy { counts["app:\($0)"] == 2 })
        #expect(counts.values.reduce(0, +) == Int64(many.changes.count))
    }

    @Test func `who causes most is known by name, however many came before`() {
        for number in 0..<60 { state.note(.applied(report(application: "app:\(number)"))) }
        for _ in 0..<60 { state.note(.applied(report(application: "bulk"))) }
        for number in 60..<120 { state.note(.applied(report(application: "app:\(number)"))) }
        clock.advance(by: .seconds(1))
        let known = state.snapshot
        #expect(known.totals.changesByApplication["bulk"] == 60)
        #expect(known.seconds.first?.changesByApplication["bulk"] == 60)
    }

    // MARK: Support

    private func lead(passDuration: Duration = .zero) {
        state.note(.leading)
        state.note(.committed(pass(vouched: ["workflows"], duration: passDuration)))
    }

    private func pass(
        vouched: Set<String>,
        distrust: [String: String] = [:],
        duration: Duration = .zero
    ) -> CommittedPass {
        CommittedPass(vouched: vouched, distrust: distrust, rowCount: 0, duration: duration)
    }

    private func report(subjects: [String] = ["link"], application: String? = "admin") -> PassReport {
        .made(subjects: subjects, application: application)
    }
}
