import History
import Testing

/// What is told of what is wrong, on made-up histories.
@Suite struct StoryTests {
    @Test func `a violation is told with the commits since, the answers around it and the faults`() throws {
        var checker = try MadeHistory.three.checker(head: 3)
        let answer = Lookup.Answer(key: MadeHistory.key, source: .hit, digest: Digest(of: "a"))
        let lookup = Lookup(began: at(21), ended: at(21.5), trust: .healthy, answers: [answer])
        checker.check(lookup, by: "reader-1")
        let violation = try #require(checker.violations.first)
        #expect(violation.commitsBetween == 3)
        let before = Lookup(began: at(15), ended: at(15.5), trust: .healthy, answers: [])
        let other = Lookup.Answer(key: MadeHistory.key, source: .near, digest: Digest(of: "b"))
        let story = Story(origin: at(0), meanings: [Digest(of: "a"): "a", Digest(of: "b"): "b"])
        let lines = story.tell(
            violation,
            of: checker.history.keys[MadeHistory.key],
            neighbours: [.init(reader: "reader-2", lookup: before, answer: other)],
            incidents: [.init(began: at(9), text: "FLUSHALL")]
        )
        #expect(
            lines == [
                "stale: detector 11, environment 5, read by reader-1",
                "  replaced for certain 10.900 s before the lookup; allowed are 2.000 s",
                "     1.000  committed by    1.100  t1: a",
                "     9.000  == FLUSHALL",
                "    10.000  committed by   10.100  t2: b",
                "    15.000  to   15.500  reader-2: healthy near: b",
                "    20.000  committed by   20.100  t3: c",
                "    21.000  to   21.500  reader-1: healthy hit: a   <<<",
            ]
        )
    }

    @Test func `an answer that is not what stood still is told with that and with what was broken before`() throws {
        let standstill = Standstill(began: at(30), ended: at(33.5), values: [MadeHistory.arena: "a"])
        var checker = try MadeHistory.three.checker(head: 3, standstills: [standstill])
        let answer = Lookup.Answer(key: MadeHistory.arena, source: .near, digest: Digest(of: "b"))
        checker.check(Lookup(began: at(33), ended: at(33.1), trust: .healthy, answers: [answer]), by: "reader-1")
        let lines = Story(origin: at(0), meanings: [Digest(of: "b"): "b"]).tell(
            try #require(checker.violations.first),
            of: checker.history.keys[MadeHistory.arena],
            neighbours: [],
            incidents: [.init(began: at(10), text: "FLUSHALL"), .init(began: at(25), text: "Redis evicts")]
        )
        #expect(
            lines == [
                "unlike what stood still: detector 91, environment 5, read by reader-1",
                "    25.000  == Redis evicts",
                "    30.000  to   33.500  nobody writes, the database holds: a",
                "    33.000  to   33.100  reader-1: healthy near: b   <<<",
            ]
        )
    }

    @Test func `a lost transaction is told with the commits around it, who has read it and the faults`() throws {
        var made = MadeHistory.three
        made.write(4, after: 3, sent: 30, acknowledged: 30.1, "d")
        made.write(5, after: 3, seen: 40, sent: 41, acknowledged: 41.1, "e")
        let history = try made.history(head: 5)
        let lost = try #require(history.lost.first)
        #expect(history.lost.count == 1 && history.set(lostWith: lost) == MadeHistory.key)
        let answer = Lookup.Answer(key: MadeHistory.key, source: .hit, digest: Digest(of: "d"))
        let read = Lookup(began: at(35), ended: at(35.5), trust: .healthy, answers: [])
        let lines = Story(origin: at(0), meanings: [Digest(of: "d"): "d"]).tell(
            lost: lost,
            in: history,
            neighbours: [.init(reader: "reader-1", lookup: read, answer: answer)],
            incidents: [
                .init(began: at(17), text: "FLUSHALL"), .init(began: at(36), text: "standby promoted"),
                .init(began: at(42), text: "Postgres killed"),
            ]
        )
        #expect(
            lines == [
                "lost: t4, which was acknowledged, is not part of what the database holds",
                "  as detector 11, environment 5 shows it",
                "    20.000  committed by   20.100  t3: c",
                "    30.000  sent, acknowledged by   30.100, gone by   40.000  t4: d   <<<",
                "    35.000  to   35.500  reader-1: healthy hit: d",
                "    36.000  == standby promoted",
                "    41.000  committed by   41.100  t5: e",
            ]
        )
    }

    @Test
    func `a set that differs is told with its commits since it was right, and without them where it has no history`()
        throws
    {
        let history = try MadeHistory.three.history(head: 3)
        let story = Story(origin: at(0), meanings: [:])
        func tell(_ key: HistoryKey) -> [String] {
            story.tell(
                Comparison.Difference(key: key, found: at(50), answer: "b", truth: "c"),
                of: history.keys[key],
                neighbours: [],
                incidents: [.init(began: at(9), text: "FLUSHALL"), .init(began: at(45), text: "Redis full")]
            )
        }
        #expect(
            tell(MadeHistory.key) == [
                "different: detector 11, environment 5, looked up while nobody wrote to it",
                "     9.000  == FLUSHALL",
                "    10.000  committed by   10.100  t2: b",
                "    20.000  committed by   20.100  t3: c",
                "    45.000  == Redis full",
                "    50.000  looked up: b; the database holds: c   <<<",
            ]
        )
        #expect(
            tell(MadeHistory.arena) == [
                "different: detector 91, environment 5, looked up while nobody wrote to it",
                "    45.000  == Redis full",
                "    50.000  looked up: b; the database holds: c   <<<",
            ]
        )
    }
}
