import History
import Testing

/// Made-up histories with each kind of violation, and with what looks like one and is none.
@Suite struct HistoryCheckerTests {
    private static let three = MadeHistory.three

    // MARK: Staleness

    @Test(arguments: [10.05, 11, 12.09])
    func `an entry that was replaced less than a lease ago may be served`(began: Double) throws {
        #expect(try Self.three.violations(head: 3, "a", began: began) == [])
    }

    @Test func `an entry that was replaced more than a lease ago is stale`() throws {
        #expect(try Self.three.violations(head: 3, "a", began: 12.11) == [.stale])
        #expect(try Self.three.violations(head: 3, "a", .near, began: 12.11) == [.stale])
        #expect(try Self.three.violations(head: 3, "a", .shared, began: 12.11) == [.stale])
    }

    @Test func `how long a lookup takes does not excuse it`() throws {
        #expect(try Self.three.violations(head: 3, "a", began: 12.09, ended: 19) == [])
        #expect(try Self.three.violations(head: 3, "a", began: 12.11, ended: 19) == [.stale])
    }

    @Test func `a degraded entry may be as old as degraded ones may be`() throws {
        #expect(try Self.three.violations(head: 3, "a", .hit, .degraded, began: 16.09) == [])
        #expect(try Self.three.violations(head: 3, "a", .hit, .degraded, began: 16.11) == [.stale])
    }

    @Test(arguments: [Lookup.Trust.healthy, .degraded, .disabled, .unreachable])
    func `what was loaded for a lookup is of its own time`(trust: Lookup.Trust) throws {
        #expect(try Self.three.violations(head: 3, "a", .loaded, trust, began: 10.09) == [])
        #expect(try Self.three.violations(head: 3, "a", .loaded, trust, began: 10.11) == [.stale])
    }

    @Test(arguments: [Lookup.Trust.disabled, .unreachable])
    func `without Redis every answer is of the lookup's own time`(trust: Lookup.Trust) throws {
        #expect(try Self.three.violations(head: 3, "a", .hit, trust, began: 10.11) == [.stale])
    }

    @Test(arguments: Lookup.Trust.allCases)
    func `memory answers for a lease, whatever Redis says of other sets`(trust: Lookup.Trust) throws {
        #expect(try Self.three.violations(head: 3, "a", .near, trust, began: 12.09) == [])
        #expect(try Self.three.violations(head: 3, "a", .near, trust, began: 12.11) == [.stale])
    }

    @Test func `a load that was shared while degraded is as old as an entry may be, and no older`() throws {
        var made = MadeHistory()
        made.write(1, after: 0, sent: 1, acknowledged: 1.1, "a")
        made.write(2, after: 1, sent: 10, acknowledged: 10.1, "b")
        #expect(try made.violations(head: 2, "a", .shared, .degraded, began: 16.09) == [])
        #expect(try made.violations(head: 2, "a", .shared, .degraded, began: 16.11) == [.stale])
        #expect(try made.violations(head: 2, "a", .shared, .healthy, began: 12.11) == [.stale])
    }

    @Test func `a value that goes backwards is stale`() throws {
        #expect(try Self.three.violations(head: 3, "c", began: 25) == [])
        #expect(try Self.three.violations(head: 3, "b", began: 25.1) == [.stale])
    }

    @Test func `the empty beginning is a value like any other`() throws {
        #expect(try Self.three.violations(head: 3, "", began: 3) == [])
        #expect(try Self.three.violations(head: 3, "", began: 4) == [.stale])
    }

    @Test func `a value that came back is taken for its latest time`() throws {
        var made = Self.three
        made.write(4, after: 3, sent: 30, acknowledged: 30.1, "a")
        #expect(try made.violations(head: 4, "a", began: 25) == [.stale])
        #expect(try made.violations(head: 4, "a", began: 60) == [])
    }

    // MARK: What cannot be

    @Test func `what has not been committed yet cannot be read`() throws {
        #expect(try Self.three.violations(head: 3, "c", began: 19, ended: 19.9) == [.early])
        #expect(try Self.three.violations(head: 3, "c", began: 19, ended: 20.01) == [])
    }

    @Test func `what nobody wrote cannot be read`() throws {
        #expect(try Self.three.violations(head: 3, "x", began: 15) == [.unknown])
    }

    @Test func `what was refused cannot be read`() throws {
        var made = Self.three
        made.write(4, after: 3, sent: 30, "d")
        made.refuse(4)
        #expect(try made.violations(head: 3, "d", began: 30.5) == [.unknown])
    }

    // MARK: Tokens

    @Test func `a reader with a token gets nothing from before it`() throws {
        #expect(try Self.three.violations(head: 3, "b", began: 20.2, token: 2) == [])
        #expect(try Self.three.violations(head: 3, "b", began: 20.2, token: 3) == [.beforeToken])
        #expect(try Self.three.violations(head: 3, "c", began: 20.2, token: 3) == [])
    }

    @Test func `a transaction that left the set as it was is a token for what the set was`() throws {
        var made = Self.three
        made.write(4, after: 3, sent: 21, acknowledged: 21.1, "c")
        made.write(5, after: 4, sent: 22, acknowledged: 22.1, "d")
        #expect(try made.violations(head: 5, "c", began: 22.2, token: 4) == [])
        #expect(try made.violations(head: 5, "c", began: 22.2, token: 5) == [.beforeToken])
    }

    // MARK: Unknown outcomes

    @Test func `a commit that nobody was told of counts from when the next transaction found it`() throws {
        var made = Self.three
        made.write(4, after: 3, sent: 30, "d")
        made.write(5, after: 4, seen: 40, sent: 41, acknowledged: 41.1, "e")
        let history = try made.history(head: 5)
        #expect(history.tally.acknowledged == 4)
        #expect(history.tally.foundCommitted == 1)
        #expect(history.tally.foundMissing == 0)
        #expect(try made.violations(head: 5, "c", began: 41.9) == [])
        #expect(try made.violations(head: 5, "c", began: 42.1) == [.stale])
        #expect(try made.violations(head: 5, "d", began: 30.1) == [])
    }

    @Test func `a commit that did not survive may have been seen until the next one took the lock`() throws {
        var made = Self.three
        made.write(4, after: 3, sent: 30, "d")
        made.write(5, after: 3, seen: 35, sent: 36, acknowledged: 36.1, "e")
        let history = try made.history(head: 5)
        #expect(history.tally.foundMissing == 1)
        #expect(history.lost.isEmpty)
        #expect(try made.violations(head: 5, "d", began: 31) == [])
        #expect(try made.violations(head: 5, "d", began: 36.9) == [])
        #expect(try made.violations(head: 5, "d", began: 37.1) == [.stale])
        #expect(try made.violations(head: 5, "d", began: 29, ended: 29.9) != [])
        // What it would have replaced was the truth all the time.
        #expect(try made.violations(head: 5, "c", began: 38) == [])
    }

    @Test func `several commits that vanished together are gone by the same moment`() throws {
        var made = Self.three
        made.write(4, after: 3, sent: 30, acknowledged: 30.1, "d")
        made.write(5, after: 4, sent: 31, acknowledged: 31.1, "e")
        made.write(6, after: 3, seen: 35, sent: 36, acknowledged: 36.1, "f")
        #expect(try made.history(head: 6).lost.map(\.id) == [4, 5])
        #expect(try made.violations(head: 6, "e", began: 36.9) == [])
        #expect(try made.violations(head: 6, "e", began: 37.1) == [.stale])
    }

    @Test func `a commit that was acknowledged and is not there is lost`() throws {
        var made = Self.three
        made.write(4, after: 3, sent: 30, acknowledged: 30.1, "d")
        #expect(try made.history(head: 3).lost.map(\.id) == [4])
        #expect(try made.history(head: 4).lost.isEmpty)
    }

    @Test func `a database that holds what nobody recorded is no basis for a verdict`() throws {
        #expect(throws: CommitHistory.Inconsistent.self) { try Self.three.history(head: 7) }
        var made = Self.three
        made.write(4, after: 3, sent: 30, "d")
        made.refuse(4)
        #expect(throws: CommitHistory.Inconsistent.self) { try made.history(head: 4) }
    }

    // MARK: The clock of Redis

    @Test func `a clock that was set back excuses so much, and only while it can`() throws {
        let back = [Bounds.ClockStep(began: at(11), ended: at(11.1), by: .seconds(-3))]
        #expect(try Self.three.violations(head: 3, "a", began: 15, steps: back) == [])
        #expect(try Self.three.violations(head: 3, "a", began: 15.2, steps: back) == [.stale])
        // Long after the step it is no excuse.
        #expect(try Self.three.violations(head: 3, "b", began: 23, steps: back) == [.stale])
    }

    @Test func `what was set back twice looks younger by both`() throws {
        let back = [
            Bounds.ClockStep(began: at(10.5), ended: at(10.6), by: .seconds(-1)),
            Bounds.ClockStep(began: at(11), ended: at(11.1), by: .seconds(-3)),
        ]
        #expect(try Self.three.violations(head: 3, "a", began: 16, steps: back) == [])
        #expect(try Self.three.violations(head: 3, "a", began: 16.2, steps: back) == [.stale])
    }

    @Test func `a clock that was set forward excuses nothing`() throws {
        let forward = [Bounds.ClockStep(began: at(11), ended: at(11.1), by: .seconds(30))]
        #expect(try Self.three.violations(head: 3, "a", began: 12.11, steps: forward) == [.stale])
    }

    // MARK: Standstills

    /// What is wrong with an answer for a set without a history, to which nobody wrote from 100 to 110, nil where it is not checked.
    private func violations(
        _ value: String,
        _ source: Lookup.Source = .hit,
        _ trust: Lookup.Trust = .healthy,
        began: Double,
        ended: Double? = nil,
        steps: [Bounds.ClockStep] = []
    ) throws -> [Violation.Kind]? {
        // Before it and after it the set was empty for a while.
        let others = [(10.0, 20.0), (200.0, 210.0)].map { Standstill(began: at($0), ended: at($1), values: [:]) }
        let standstill = Standstill(began: at(100), ended: at(110), values: [MadeHistory.arena: "a"])
        var checker = try Self.three.checker(head: 3, steps: steps, standstills: others + [standstill])
        let answer = Lookup.Answer(key: MadeHistory.arena, source: source, digest: Digest(of: value))
        let lookup = Lookup(began: at(began), ended: at(ended ?? began), trust: trust, answers: [answer])
        checker.check(lookup, by: "reader")
        #expect(checker.tally.answers == 0)
        return checker.tally.atStandstill == [source: 1] ? checker.violations.map(\.kind) : nil
    }

    @Test func `what is answered when nothing is broken any more is counted apart`() throws {
        let standstills = [(100.0, false), (200.0, true)].map {
            Standstill(began: at($0.0), ended: at($0.0 + 10), values: [MadeHistory.arena: "a"], isLast: $0.1)
        }
        var checker = try Self.three.checker(head: 3, standstills: standstills)
        for (began, value) in [(105.0, "a"), (205, "a"), (206, "b")] {
            let answer = Lookup.Answer(key: MadeHistory.arena, source: .hit, digest: Digest(of: value))
            let lookup = Lookup(began: at(began), ended: at(began), trust: .healthy, answers: [answer])
            checker.check(lookup, by: "reader")
        }
        #expect(checker.tally.atStandstill == [.hit: 1])
        #expect(checker.tally.atLastStandstill == [.hit: 2])
        #expect(checker.violations.map(\.kind) == [.unequal])
    }

    @Test func `what is answered while nobody writes is what stands still`() throws {
        #expect(try violations("a", began: 105) == [])
        #expect(try violations("b", began: 105) == [.unequal])
        #expect(try violations("", began: 105) == [.unequal])
        #expect(try violations("", began: 205) == [])
        #expect(try violations("a", began: 205) == [.unequal])
    }

    @Test(arguments: [Lookup.Source.hit, .near, .shared])
    func `what may be from before a standstill is not held against it`(source: Lookup.Source) throws {
        #expect(try violations("b", source, began: 101.9) == nil)
        #expect(try violations("b", source, began: 102.1) == [.unequal])
        // Memory knows of a lease alone.
        let whileDegraded: [Violation.Kind]? = source == .near ? [.unequal] : nil
        #expect(try violations("b", source, .degraded, began: 105.9) == whileDegraded)
        #expect(try violations("b", source, .degraded, began: 106.1) == [.unequal])
        let back = [Bounds.ClockStep(began: at(101), ended: at(101.1), by: .seconds(-3))]
        #expect(try violations("b", source, began: 104.9, steps: back) == nil)
        #expect(try violations("b", source, began: 106.2, steps: back) == [.unequal])
    }

    @Test
    func `what was loaded is of the standstill from its beginning, and of none where it began before or ended later`()
        throws
    {
        #expect(try violations("b", .loaded, .unreachable, began: 100.1) == [.unequal])
        #expect(try violations("b", .loaded, .unreachable, began: 99.9, ended: 100.1) == nil)
        #expect(try violations("b", .loaded, .unreachable, began: 109.9, ended: 110.1) == nil)
        #expect(try violations("b", .loaded, .unreachable, began: 150) == nil)
    }

    // MARK: What is told

    @Test func `the worst staleness is what is certain of the answers that were allowed`() throws {
        var checker = try Self.three.checker(head: 3)
        for (value, began) in [("a", 11.1), ("b", 15.0)] {
            let answer = Lookup.Answer(key: MadeHistory.key, source: .hit, digest: Digest(of: value))
            checker.check(Lookup(began: at(began), ended: at(began), trust: .healthy, answers: [answer]), by: "reader")
        }
        #expect(checker.tally.answers == 2)
        #expect(checker.tally.worst == [.healthy: .seconds(1)])
        #expect(checker.tally.excused == 0)
    }

    @Test func `an answer from memory counts as healthy, also where the others of its lookup were loaded`() throws {
        var checker = try Self.three.checker(head: 3)
        let answer = Lookup.Answer(key: MadeHistory.key, source: .near, digest: Digest(of: "a"))
        checker.check(Lookup(began: at(11.1), ended: at(11.1), trust: .unreachable, answers: [answer]), by: "reader")
        #expect(checker.tally.worst == [.healthy: .seconds(1)])
    }

    @Test func `what only a clock excuses is told apart`() throws {
        let back = Bounds.ClockStep(began: at(11), ended: at(11.1), by: .seconds(-3))
        var checker = try Self.three.checker(head: 3, steps: [back])
        let answer = Lookup.Answer(key: MadeHistory.key, source: .hit, digest: Digest(of: "a"))
        checker.check(Lookup(began: at(13.1), ended: at(13.1), trust: .healthy, answers: [answer]), by: "reader")
        #expect(checker.tally.worst.isEmpty)
        #expect(checker.tally.excused == 1)
        #expect(checker.tally.worstExcused == .seconds(3))
    }

    @Test func `of many violations those with the shortest histories are kept, whichever came first`() throws {
        var made = MadeHistory()
        for id in 1...4 as ClosedRange<UInt64> {
            made.write(id, after: id - 1, sent: Double(id) * 10, acknowledged: Double(id) * 10 + 1, "v\(id)")
        }
        var checker = try made.checker(head: 4)
        // A thousand that are four commits behind, as many that are three behind, then one that is one behind.
        for (value, count) in [("", 1_000), ("v1", 1_000), ("v3", 1)] {
            let answer = Lookup.Answer(key: MadeHistory.key, source: .hit, digest: Digest(of: value))
            for second in 0..<count {
                let lookup = Lookup(
                    began: at(50 + Double(second)),
                    ended: at(50 + Double(second)),
                    trust: .healthy,
                    answers: [answer]
                )
                checker.check(lookup, by: "reader")
            }
        }
        #expect(checker.tally.violations == [.stale: 2_001])
        #expect(checker.violations.count == 1_000)
        #expect(checker.violations.first?.answer.digest == Digest(of: "v3"))
        #expect(checker.violations.dropFirst().allSatisfy { $0.answer.digest == Digest(of: "v1") })
    }
}
