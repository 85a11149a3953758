import Keyspace
import Testing

@testable import InvalidationWorker

struct PumpStateMachineTests {
    private static let identity = PostgresIdentity("1/1/a")

    /// A machine with a clock, driven by hand.
    private struct Driver {
        var machine = PumpStateMachine(configuration: .init())
        var now = ContinuousClock.now

        mutating func after(_ event: PumpStateMachine.Event) -> PumpStateMachine.Action {
            machine.next(after: event, at: now)
        }

        /// Leads, and has begun a pass.
        mutating func lead() throws {
            _ = after(.connected(notifies: true))
            _ = after(.lockAcquired)
            #expect(after(.tookOver(try #require(PumpStateMachineTests.identity))) == .observeHeads([.workflows]))
        }

        /// The claim that comes after heads which are as they should be.
        mutating func observe(mark: String = "M", postgres: String = "1/1/a") -> PumpStateMachine.Action {
            let fence = BucketPass.Fence(mark: mark, postgres: postgres)
            return after(.observed([.workflows: [ObservedHead(fence: fence, time: RedisTime(microseconds: 1))]]))
        }

        mutating func pass(_ claim: Claim) {
            _ = observe()
            _ = after(.claimed(claim))
            _ = after(.applied([PassOutcome()]))
            _ = after(.committed)
        }
    }

    private func claim(rows: Int64 = 0, deleted: Int64 = 0, snapshot: String = "10:12:11") -> Claim {
        Claim(
            snapshot: snapshot,
            rowCount: rows,
            deletedCount: deleted,
            caches: [CacheClaim(cache: "workflows", rowCount: rows, mark: "M", acknowledgedTriggers: "")]
        )
    }

    private func floor(of action: PumpStateMachine.Action) -> SnapshotFloor? {
        guard case .claim(let request) = action else { return nil }
        return request.floor
    }

    @Test func `it listens before the first claim, and observes the heads before every claim`() throws {
        var driver = Driver()
        #expect(driver.machine.start() == .connect(after: .zero))
        #expect(driver.after(.connected(notifies: true)) == .tryToLead)
        #expect(driver.after(.lockAcquired) == .takeOver)
        #expect(driver.after(.tookOver(try #require(Self.identity))) == .observeHeads([.workflows]))
        guard case .claim(let request) = driver.observe() else {
            Issue.record("expected a claim")
            return
        }
        #expect(request.floor == nil)
        #expect(request.factsProblems.isEmpty)
        guard case .apply = driver.after(.claimed(claim())) else {
            Issue.record("expected the plan to be applied")
            return
        }
        guard case .commit = driver.after(.applied([PassOutcome()])) else {
            Issue.record("expected a commit")
            return
        }
        #expect(driver.after(.committed) == .waitForChange(.seconds(1)))
        #expect(driver.after(.woke) == .observeHeads([.workflows]))
    }

    @Test func `a standby tries again and again, and never waits for the lock`() {
        var driver = Driver()
        _ = driver.after(.connected(notifies: true))
        for _ in 0..<3 {
            #expect(driver.after(.lockBusy) == .standBy(.milliseconds(500)))
            #expect(driver.after(.woke) == .tryToLead)
        }
        #expect(!driver.machine.isLeading)
    }

    @Test func `without notifications it polls more often`() throws {
        var driver = Driver()
        _ = driver.after(.connected(notifies: false))
        _ = driver.after(.lockAcquired)
        _ = driver.after(.tookOver(try #require(Self.identity)))
        _ = driver.observe()
        _ = driver.after(.claimed(claim()))
        _ = driver.after(.applied([PassOutcome()]))
        #expect(driver.after(.committed) == .waitForChange(.milliseconds(100)))
    }

    @Test func `a Redis that can be read but not written is tried more and more rarely`() throws {
        var driver = Driver()
        try driver.lead()
        var longest = Duration.zero
        for _ in 0..<10 {
            _ = driver.observe()
            _ = driver.after(.claimed(claim()))
            #expect(driver.after(.redisFailed) == .rollBack)
            guard case .backOff(let delay) = driver.after(.rolledBack) else {
                Issue.record("expected a pause")
                return
            }
            longest = max(longest, delay)
            #expect(driver.after(.woke) == .observeHeads([.workflows]))
        }
        #expect(longest > .seconds(1))
    }

    @Test func `a leader that cannot reach Redis for a lease lets another try`() throws {
        var driver = Driver()
        try driver.lead()
        #expect(driver.after(.redisFailed).isBackOff)
        driver.now += .seconds(4)
        _ = driver.after(.woke)
        #expect(driver.after(.redisFailed).isBackOff)
        driver.now += .seconds(2)
        _ = driver.after(.woke)
        guard case .giveUpLead(let delay) = driver.after(.redisFailed) else {
            Issue.record("expected it to give the lead up")
            return
        }
        // A standby tries every half second.
        #expect(delay >= .seconds(1))
        #expect(!driver.machine.isLeading)
        // Where nobody else takes over, it has a whole lease again.
        try driver.lead()
        #expect(driver.after(.redisFailed).isBackOff)
    }

    @Test func `the floor is the snapshot of a committed pass that deleted all it saw`() throws {
        var driver = Driver()
        try driver.lead()
        driver.pass(claim(rows: 2, deleted: 2))
        _ = driver.after(.woke)
        #expect(floor(of: driver.observe()) == SnapshotFloor(snapshot: "10:12:11"))
    }

    @Test func `the floor does not rise where somebody else deleted a row of the claim`() throws {
        var driver = Driver()
        try driver.lead()
        driver.pass(claim(rows: 2, deleted: 1))
        _ = driver.after(.woke)
        #expect(floor(of: driver.observe()) == nil)
    }

    @Test func `the floor is forgotten with a batch that was rolled back`() throws {
        var driver = Driver()
        try driver.lead()
        driver.pass(claim())
        _ = driver.after(.woke)
        #expect(floor(of: driver.observe()) != nil)
        _ = driver.after(.claimed(claim(rows: 1, deleted: 1)))
        #expect(driver.after(.redisFailed) == .rollBack)
        guard case .backOff = driver.after(.rolledBack) else {
            Issue.record("expected to back off")
            return
        }
        _ = driver.after(.woke)
        #expect(floor(of: driver.observe()) == nil)
    }

    @Test func `the floor is forgotten with the session`() throws {
        var driver = Driver()
        try driver.lead()
        driver.pass(claim())
        _ = driver.after(.disconnected)
        #expect(!driver.machine.isLeading)
        try driver.lead()
        #expect(floor(of: driver.observe()) == nil)
    }

    @Test func `once in a sweep interval the journal is read without a floor`() throws {
        var driver = Driver()
        try driver.lead()
        driver.pass(claim())
        _ = driver.after(.woke)
        driver.now += .seconds(59)
        #expect(floor(of: driver.observe()) != nil)
        _ = driver.after(.claimed(claim()))
        _ = driver.after(.applied([PassOutcome()]))
        _ = driver.after(.committed)
        _ = driver.after(.woke)
        driver.now += .seconds(1)
        #expect(floor(of: driver.observe()) == nil)
    }

    @Test func `a worker on a timeline that was left behind promises nothing and looks for another primary`() throws {
        var driver = Driver()
        try driver.lead()
        let own = try #require(PostgresIdentity("1/1/a"))
        let ahead = try #require(PostgresIdentity("1/2/b"))
        #expect(driver.observe(postgres: "1/2/b") == .findPrimary(after: .seconds(5), own, ahead: ahead))
        #expect(!driver.machine.isLeading)
    }

    @Test func `a fenced pass is rolled back and begun anew`() throws {
        var driver = Driver()
        try driver.lead()
        _ = driver.observe()
        _ = driver.after(.claimed(claim()))
        #expect(driver.after(.fenced) == .rollBack)
        guard case .backOff = driver.after(.rolledBack) else {
            Issue.record("expected to back off")
            return
        }
        #expect(driver.after(.woke) == .observeHeads([.workflows]))
    }

    @Test func `facts that cannot be read lead to a claim without them`() throws {
        var driver = Driver()
        try driver.lead()
        _ = driver.observe()
        guard case .claim(let request) = driver.after(.factsUnreadable(["workflows": "no such column"])) else {
            Issue.record("expected a second claim")
            return
        }
        #expect(request.factsProblems == ["workflows": "no such column"])
    }

    @Test func `a cache that was attached since the heads were observed begins the pass anew, with its head`() throws {
        var configuration = PumpStateMachine.Configuration()
        configuration.caches = try ServedCache.all(firstIn: .workflows)
        var driver = Driver(machine: PumpStateMachine(configuration: configuration))
        try driver.lead()
        _ = driver.observe()
        var both = claim(rows: 1, deleted: 1)
        both.caches.append(CacheClaim(cache: "datasources", mark: "M"))
        #expect(driver.after(.claimed(both)) == .rollBack)
        #expect(driver.after(.rolledBack) == .observeHeads([.workflows, .dataSources]))
        let fence = BucketPass.Fence(mark: "M", postgres: "1/1/a")
        let head = ObservedHead(fence: fence, time: RedisTime(microseconds: 1))
        _ = driver.after(.observed([.workflows: [head], .dataSources: [head]]))
        guard case .apply(let plans) = driver.after(.claimed(both)) else {
            Issue.record("expected the plans to be applied")
            return
        }
        #expect(plans.map(\.cache) == ["workflows", "datasources"])
        #expect(plans.map(\.namespace) == [.workflows, .dataSources])
        _ = driver.after(.applied([PassOutcome(), PassOutcome()]))
        _ = driver.after(.committed)
        // Detached: the next pass asks Redis about it once more, the one after that no longer.
        #expect(driver.after(.woke) == .observeHeads([.workflows, .dataSources]))
        _ = driver.observe()
        _ = driver.after(.claimed(claim()))
        _ = driver.after(.applied([PassOutcome()]))
        _ = driver.after(.committed)
        #expect(driver.after(.woke) == .observeHeads([.workflows]))
    }

    @Test func `two caches in one namespace are refused`() throws {
        let taken = CacheNamespace.workflows.sibling(named: "datasources")
        let error = #expect(throws: WorkerError.self) { try ServedCache.all(firstIn: taken) }
        #expect(error?.code == .namespaceTaken)
    }

    @Test func `a shutdown finishes the pass under way, and leaves then`() throws {
        var driver = Driver()
        try driver.lead()
        _ = driver.observe()
        driver.machine.shutDown()
        guard case .apply = driver.after(.claimed(claim())) else {
            Issue.record("expected the pass to go on")
            return
        }
        guard case .commit = driver.after(.applied([PassOutcome()])) else {
            Issue.record("expected a commit")
            return
        }
        #expect(driver.after(.committed) == .leave)
        #expect(driver.after(.left) == .stop)
    }

    @Test func `a shutdown while disconnected, standing by or idle leaves at once`() throws {
        for prepare in [
            { (driver: inout Driver) in driver.after(.disconnected) },
            { driver in driver.after(.lockBusy) },
        ] {
            var driver = Driver()
            driver.machine.shutDown()
            #expect(prepare(&driver) == .leave)
        }
        var driver = Driver()
        try driver.lead()
        driver.pass(claim())
        driver.machine.shutDown()
        #expect(driver.after(.woke) == .leave)
    }

    @Test func `waits after failures grow, stay below the cap, and start anew after a success`() {
        var backoff = Backoff()
        var generator = SystemRandomNumberGenerator()
        for failure in 0..<100 {
            let delay = backoff.next(using: &generator)
            let full = min(Duration.milliseconds(200) * (1 << min(failure, 20)), .seconds(5))
            #expect(delay <= full)
            #expect(delay >= full / 4)
        }
        backoff.reset()
        #expect(backoff.next(using: &generator) <= .milliseconds(200))
    }

    @Test func `a floor is read from a snapshot's text, and from nothing else`() {
        #expect(SnapshotFloor(snapshot: "10:20:11,15")?.inProgress == ["11", "15"])
        #expect(SnapshotFloor(snapshot: "10:20:")?.inProgress == [])
        for text in ["", "10", "10:20", "a:b:c", "10:20:x", "10:20:1:2"] {
            #expect(SnapshotFloor(snapshot: text) == nil)
        }
    }
}

extension PumpStateMachine.Action {
    fileprivate var isBackOff: Bool {
        if case .backOff = self { true } else { false }
    }
}
