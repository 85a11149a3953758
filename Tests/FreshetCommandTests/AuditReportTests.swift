import Keyspace
import Operations
import Testing

@testable import Audit
@testable import ChangeFeed
@testable import FreshetCommand

@Suite struct AuditReportTests {
    // MARK: The nines

    private func batch(consistent: Int, inconsistent: Int = 0) -> Auditor.Batch {
        var tally = AuditTally()
        tally.consistent = consistent
        tally.inconsistent = inconsistent
        var batch = Auditor.Batch()
        batch.tallies = ["workflows": tally]
        return batch
    }

    @Test func `what is found wrong counts before the round is over, and until a round without it is`() {
        var sums = AuditSums()
        sums.add(batch(consistent: 1_000))
        sums.endRound()
        let clean = sums.proven.bound.nines
        sums.add(batch(consistent: 100))
        #expect(sums.proven.bound.nines == clean)
        sums.add(batch(consistent: 99, inconsistent: 1))
        let wrong = sums.proven.bound
        #expect(wrong.nines < clean && wrong.checked == 200 && wrong.wrong == 1)
        sums.endRound()
        sums.add(batch(consistent: 1_000))
        #expect(sums.proven.bound == wrong)
        sums.endRound()
        #expect(sums.proven.bound.nines == clean)
    }

    @Test func `what a round brought that failed is not counted again by the next`() {
        var sums = AuditSums()
        sums.add(batch(consistent: 500))
        sums.breakOffRound()
        sums.add(batch(consistent: 500))
        #expect(sums.proven.checked == 500)
        sums.add(batch(consistent: 500))
        sums.endRound()
        #expect(sums.proven.checked == 1_000 && sums.total.checked == 1_500)
    }

    @Test func `beside a worker the counts grow from round to round, and the nines do not`() async throws {
        let state = WorkerState(lease: .seconds(5))
        let summary = AuditSummary(state: state)
        var rounds = AuditRounds()
        for round in 1...2 {
            let batch = batch(consistent: 1_000)
            for tally in batch.tallies.values { rounds.add(tally) }
            await summary.take(batch, proven: ["workflows": rounds.proven])
            rounds.end()
            let audit = try #require(state.snapshot.audits["workflows"])
            #expect(audit.consistent == round * 1_000)
            #expect(audit.nines == ErrorRateBound(checked: 1_000, wrong: 0).nines)
        }
    }

    // MARK: The changes

    private func entry(
        _ number: UInt64,
        _ application: String,
        _ scope: Scope,
        isOfPass: Bool = false
    ) throws -> ChangeReader.Entry {
        var change = AppliedChange(
            namespace: "freshet:workflows",
            atMicroseconds: 1,
            table: "detector",
            operation: "update",
            rows: 1,
            changes: 1,
            invalidated: InvalidatedScopes(ScopeSet([scope]), isOfPass: isOfPass)
        )
        change.application = application
        return ChangeReader.Entry(
            id: ChangeID(milliseconds: number, sequence: 0),
            change: change,
            line: String(decoding: try ChangeStream.encoded(change), as: UTF8.self)
        )
    }

    private let name = EntryName(entity: Entity(2), variant: .global)

    @Test func `of many changes the last ten that invalidated an entry are told, in their order`() throws {
        var entries = try (1...20).map { try entry($0, "touches \($0)", .entry(Entity(2), .global)) }
        entries.append(try entry(21, "another", .entity(Entity(1))))
        entries.append(try entry(22, "elsewhere", .entry(Entity(2), Variant(5))))
        entries.append(try entry(23, "pass", .entity(Entity(2)), isOfPass: true))
        let told = entries.covering(name.entity, [name.variant], seen: nil)
        #expect(told.map(\.entry.id.milliseconds) == Array(11...20) && told.allSatisfy(\.isCertain))
    }

    @Test func `where few are certain those follow that may have, each marked`() throws {
        let entries = [
            try entry(1, "everything", .namespace), try entry(2, "pass", .entity(Entity(2)), isOfPass: true),
            try entry(3, "direct", .entity(Entity(2))),
        ]
        let told = entries.covering(name.entity, [name.variant], seen: nil)
        #expect(told.map(\.entry.change.application) == ["everything", "pass", "direct"])
        #expect(told.map(\.isCertain) == [true, false, true])
        let text = AuditReport.text(of: finding, changes: .known(entries), repairedBy: nil, .plain)
        let lines = text.split(separator: "\n")
        #expect(lines.contains { $0.contains("pass") && $0.hasSuffix("(perhaps)") }, "\(text)")
        #expect(lines.contains { $0.contains("direct") && !$0.hasSuffix("(perhaps)") }, "\(text)")
        let json = AuditReport.json(of: finding, changes: .known(entries), repairedBy: nil).line
        let newest = #"{"certain":true,"stream_id":"3-0","later":false,"application":"direct","#
        #expect(json.contains(#""changes":{"records":3,"newest":[\#(newest)"#), "\(json)")
    }

    @Test func `a change whose record was written after the entry was last seen is marked`() throws {
        let entries = [
            try entry(7, "before", .entity(Entity(2))), try entry(8, "after", .entity(Entity(2))),
            try entry(9, "pass", .entity(Entity(2)), isOfPass: true),
        ]
        var finding = finding
        finding.time = RedisTime(microseconds: 7_999)
        let text = AuditReport.text(of: finding, changes: .known(entries), repairedBy: nil, .plain)
        let lines = text.split(separator: "\n")
        #expect(lines.contains { $0.contains("before") && !$0.hasSuffix("later)") }, "\(text)")
        #expect(lines.contains { $0.contains("after") && $0.hasSuffix("(later)") }, "\(text)")
        #expect(lines.contains { $0.contains("pass") && $0.hasSuffix("(perhaps, later)") }, "\(text)")
        #expect(lines.contains { $0.contains("1970-01-01T00:00:00.000001Z, last seen 1970-01-01T00:00:00.007999Z") })
        let json = AuditReport.json(of: finding, changes: .known(entries), repairedBy: nil).line
        #expect(json.contains(#""seen_at_microseconds":7999"#) && json.contains(#""stream_id":"8-0","later":true"#))
    }

    @Test func `no change among those that are known is another thing than nothing known`() throws {
        let others = RecentChanges.known([try entry(1, "another", .entity(Entity(1)))])
        let unknown = RecentChanges.unknown("Redis keeps no changes")
        for (changes, json, text) in [
            (
                others,
                #""changes":{"records":1,"newest":[]},"changes_unknown":null"#,
                "none of the last 1 records invalidated it"
            ),
            (
                unknown,
                #""changes":null,"changes_unknown":"Redis keeps no changes""#,
                "unknown: Redis keeps no changes"
            ),
        ] {
            #expect(AuditReport.json(of: finding, changes: changes, repairedBy: nil).line.contains(json))
            #expect(AuditReport.text(of: finding, changes: changes, repairedBy: nil, .plain).contains(text))
        }
        #expect(AuditReport.json(of: finding, changes: nil, repairedBy: nil).line.contains(#""changes":null"#))
    }

    private var finding: AuditFinding {
        let generation = Generation(counter: 1, nonce: 1)
        return AuditFinding(
            cache: "workflows",
            name: name,
            key: "freshet:workflows:{0}:2",
            verdict: .inconsistent,
            stamp: EntryStamp(
                namespace: generation,
                entity: generation,
                variant: nil,
                readAt: RedisTime(microseconds: 1)
            ),
            generations: Generations(namespace: generation, entity: generation, variant: nil),
            head: .absent,
            cached: []
        )
    }
}
