import Keyspace
import Testing

@testable import ChangeFeed
@testable import InvalidationWorker

struct AppliedChangeTests {
    private func report(
        _ changes: [PassReport.ChangeSummary],
        _ scopes: ScopeSet = ScopeSet([.entity(Entity(1))]),
        bumps: Int64 = 0,
        reset: [Int] = [],
        rowCount: Int64? = nil
    ) -> PassReport {
        PassReport(
            namespace: .workflows,
            changes: changes,
            rowCount: rowCount ?? Int64(changes.count),
            scopes: scopes,
            resetBuckets: reset,
            bumpCount: bumps,
            duration: .zero,
            invalidatedAtMicroseconds: 2_000
        )
    }

    private func summary(
        _ subject: String = "detector",
        _ application: String? = "app",
        rows: Int64 = 1,
        _ scopes: ScopeSet? = ScopeSet([.entity(Entity(1))])
    ) -> PassReport.ChangeSummary {
        PassReport.ChangeSummary(
            subject: subject,
            operation: "update",
            rowCount: rows,
            applicationName: application,
            userName: "role",
            changedAtMicroseconds: 1_000,
            committedAtMicroseconds: nil,
            scopes: scopes
        )
    }

    @Test func `a record is what the change was, and is read as it was written`() throws {
        let records = AppliedChange.records(of: [report([summary()], bumps: 1)], at: 9, atMost: 10)
        let record = try #require(records.first)
        #expect(records.count == 1 && record.table == "detector" && record.operation == "update")
        #expect(record.application == "app" && record.user == "role" && record.rows == 1 && record.bumps == 1)
        #expect(record.atMicroseconds == 2_000 && record.latencyMicroseconds == 1_000)
        #expect(record.invalidated.covers(Entity(1), .global) == .yes && !record.invalidated.isOfPass)
        let bytes = try ChangeStream.encoded(record)
        #expect(ChangeStream.record(in: bytes) == record)
        #expect(!bytes.contains(UInt8(ascii: "\n")))
    }

    @Test func `what is no record, or one of another version, is none`() throws {
        let record = AppliedChange(namespace: "n", atMicroseconds: 1, table: "t", operation: "o", rows: 1, changes: 1)
        let text = String(decoding: try ChangeStream.encoded(record), as: UTF8.self)
        #expect(text.contains("\"v\":1"))
        for other in ["", "{}", "null", text.replacing("\"v\":1", with: "\"v\":2"), String(text.dropLast())] {
            #expect(ChangeStream.record(in: other.utf8) == nil, "\(other)")
        }
        #expect(ChangeStream.record(in: text.replacing("\"v\":1", with: "\"v\":1,\"new\":[]").utf8) == record)
    }

    @Test func `a record with a count below zero is none`() throws {
        let variants = ScopeSet((1...40).map { .entry(Entity(1), Variant($0)) })
        let record = AppliedChange(
            namespace: "n",
            atMicroseconds: 1,
            table: "t",
            operation: "o",
            rows: 2,
            changes: 3,
            bumps: 4,
            invalidated: InvalidatedScopes(variants, isOfPass: false)
        )
        let text = String(decoding: try ChangeStream.encoded(record), as: UTF8.self)
        let counts = [
            ("rows", 2), ("changes", 3), ("bumps", 4), ("entity_count", 1), ("count", 40), ("variant_count", 40),
        ]
        for (name, count) in counts {
            #expect(text.contains("\"\(name)\":\(count)"), "\(name)")
            for (other, isRecord) in [("-1", false), ("-9223372036854775808", false), ("0", true)] {
                let changed = text.replacing("\"\(name)\":\(count)", with: "\"\(name)\":\(other)")
                #expect((ChangeStream.record(in: changed.utf8) != nil) == isRecord, "\(name) \(other)")
            }
        }
    }

    @Test func `where no change has scopes of its own each is told with those of the pass`() {
        let scopes = ScopeSet([.entry(Entity(1), .global), .entry(Entity(2), Variant(5))])
        let records = AppliedChange.records(
            of: [report([summary(rows: 1, nil), summary("link", "app", nil)], scopes)],
            at: 9,
            atMost: 10
        )
        #expect(records.map(\.invalidated.isOfPass) == [true, true])
        #expect(records.allSatisfy { $0.invalidated.covers(Entity(2), Variant(5)) == .yes })
        #expect(records.allSatisfy { $0.invalidated.covers(Entity(2), Variant(6)) == .no })
    }

    @Test func `a bulk is folded to a bounded number of records, and nothing of it is lost from the sums`() {
        let many = (0..<5_000).map { summary("detector", "app \($0 % 500)", rows: Int64($0), nil) }
        let reports = (0..<20).map { _ in report(many, bumps: 77) }
        let one = AppliedChange.records(of: [reports[0]], at: 9, atMost: 256)
        #expect(one.count <= AppliedChange.recordsPerPass)
        let all = AppliedChange.records(of: reports, at: 9, atMost: 100)
        #expect(all.count <= 100)
        #expect(all.contains { $0.table == AppliedChange.several })
        #expect(all.reduce(0) { $0 + $1.changes } == 100_000)
        #expect(all.reduce(0) { $0 + $1.rows } == 20 * (0..<5_000).reduce(0, +))
        #expect(all.reduce(0) { $0 + $1.bumps } == 20 * 77)
    }

    @Test func `the bumps of a pass are divided among its changes by what they invalidate`() {
        let wide = ScopeSet((1...9).map { .entity(Entity($0)) })
        let narrow = ScopeSet([.entity(Entity(1))])
        let records = AppliedChange.records(
            of: [report([summary("detector", "a", wide), summary("detector", "b", narrow)], wide, bumps: 10)],
            at: 9,
            atMost: 10
        )
        #expect(records.map(\.bumps) == [9, 1])
        let all = AppliedChange.records(
            of: [
                report([summary("detector", "a", wide), summary("namespace", "b", ScopeSet([.namespace]))], bumps: 1)
            ],
            at: 9,
            atMost: 10
        )
        #expect(all.map(\.bumps) == [0, 1])
    }

    @Test func `a backlog that collapsed, a reset and triggers that changed are told as such`() {
        let everything = ScopeSet([.namespace])
        func operations(_ report: PassReport) -> [String] {
            AppliedChange.records(of: [report], at: 9, atMost: 10).map(\.operation)
        }
        #expect(operations(report([], everything, rowCount: 200_000)) == ["collapse"])
        #expect(operations(report([], ScopeSet(), reset: [0], rowCount: 0)) == ["reset"])
        #expect(operations(report([], everything, rowCount: 0)) == ["acknowledge"])
        #expect(operations(report([summary()], everything)) == ["update", "acknowledge"])
    }

    @Test func `of many scopes the first are listed, and of the others it is said that they may be meant`() {
        let scopes = ScopeSet((1...1_000).map { .entity(Entity($0)) })
        let invalidated = InvalidatedScopes(scopes, isOfPass: false)
        #expect(invalidated.entities.map(\.entity) == (1...24).map { String($0) })
        #expect(invalidated.entityCount == 1_000 && invalidated.count == 1_000)
        #expect(invalidated.covers(Entity(7)) == .yes && invalidated.covers(Entity(5_000)) == .perhaps)
        let variants = InvalidatedScopes(ScopeSet((1...40).map { .entry(Entity(1), Variant($0)) }), isOfPass: false)
        #expect(variants.covers(Entity(1), Variant(3)) == .yes && variants.covers(Entity(1), Variant(40)) == .perhaps)
        #expect(variants.covers(Entity(2)) == .no)
    }

    @Test func `what sorts before the last that is listed, and is not listed, was not invalidated`() throws {
        // 10, 20, … 1000, of which 10 … 240 are listed; and of detector 10 the environments 2, 4, … 80, of which 2 … 32 are.
        let others = (2...100).map { Scope.entity(Entity($0 * 10)) }
        let variants = (1...40).map { Scope.entry(Entity(10), Variant($0 * 2)) }
        let invalidated = InvalidatedScopes(ScopeSet(others + variants), isOfPass: false)
        var record = AppliedChange(
            namespace: "n",
            atMicroseconds: 1,
            table: "detector",
            operation: "update",
            rows: 100,
            changes: 1,
            invalidated: invalidated
        )
        record = try #require(ChangeStream.record(in: try ChangeStream.encoded(record)))
        #expect(record.invalidated == invalidated)
        #expect(record.invalidated.covers(Entity(5)) == .no && record.invalidated.covers(Entity(235)) == .no)
        #expect(record.invalidated.covers(Entity(240)) == .yes && record.invalidated.covers(Entity(250)) == .perhaps)
        #expect(record.invalidated.covers(Entity(10), Variant(3)) == .no)
        #expect(record.invalidated.covers(Entity(10), .global) == .no)
        #expect(record.invalidated.covers(Entity(10), Variant(32)) == .yes)
        #expect(record.invalidated.covers(Entity(10), Variant(34)) == .perhaps)
        // Of a record from another version, which does not say that they are the first, nothing is taken for certain.
        let text = String(decoding: try ChangeStream.encoded(record), as: UTF8.self)
        let silent = try #require(ChangeStream.record(in: text.replacing(#""in_order":true,"#, with: "").utf8))
        #expect(silent.invalidated.covers(Entity(5)) == .perhaps)
    }

    @Test func `of what was folded the listed need not be the first, so that others may be meant`() throws {
        let parts = [1_000, 1].map { first in
            ScopeSet((0..<30).map { .entity(Entity(Int64(first + 2 * $0))) })
        }
        let records = AppliedChange.records(
            of: [report(parts.map { summary("detector", "app", $0) }, parts[0]), report([summary("link")])],
            at: 9,
            atMost: 2
        )
        let folded = try #require(records.first { $0.changes == 2 })
        #expect(folded.invalidated.entityCount == 60)
        // 1 … 59 by twos are listed of neither where the first part came first.
        #expect(folded.invalidated.covers(Entity(3)) == .perhaps && folded.invalidated.covers(Entity(1_000)) == .yes)
    }
}

struct ReportBufferTests {
    private func report(_ rowCount: Int64) -> PassReport {
        PassReport(
            namespace: .workflows,
            changes: [],
            rowCount: rowCount,
            scopes: ScopeSet(),
            resetBuckets: [],
            bumpCount: 0,
            duration: .zero
        )
    }

    @Test func `a full buffer drops the oldest, and counts what it dropped`() {
        let buffer = ReportBuffer(reportsKept: 10, weightKept: 1_000)
        for number in 1...100 { buffer.add(report(Int64(number))) }
        let taken = buffer.take()
        #expect(taken.reports.count <= 10)
        #expect(taken.reports.last?.rowCount == 100)
        #expect(taken.lostChanges + taken.reports.reduce(0) { $0 + $1.rowCount } == (1...100).reduce(0, +))
        #expect(buffer.take().reports.isEmpty)
    }

    @Test func `a single pass that is larger than the buffer is kept`() {
        let buffer = ReportBuffer(reportsKept: 10, weightKept: 0)
        buffer.add(report(5))
        #expect(buffer.take().reports.count == 1)
    }
}

struct ChangeRankingTests {
    private func change(
        _ table: String,
        _ application: String?,
        rows: Int64,
        bumps: Int64,
        latency: Int64?
    ) -> AppliedChange {
        var change = AppliedChange(
            namespace: "n",
            atMicroseconds: 1,
            table: table,
            operation: "update",
            rows: rows,
            changes: 1,
            bumps: bumps
        )
        change.application = application
        change.latencyMicroseconds = latency
        return change
    }

    @Test func `rows add up to the total, whatever they are added up by and sorted by`() {
        let changes = (1...100).map { (number: Int64) -> AppliedChange in
            let table = number % 3 == 0 ? "link" : "workflow"
            let application: String? = number % 2 == 0 ? "a" : nil
            return change(table, application, rows: number, bumps: 2, latency: 5)
        }
        for grouping in [ChangeRanking.Grouping.table, .application] {
            for order in ChangeRanking.Order.allCases {
                let ranking = ChangeRanking(changes, by: grouping, in: order)
                #expect(ranking.rows.count == 2)
                #expect(ranking.total.changes == 100 && ranking.rows.reduce(0) { $0 + $1.changes } == 100)
                #expect(ranking.total.rows == 5_050 && ranking.rows.reduce(0) { $0 + $1.rows } == 5_050)
                #expect(ranking.total.bumps == 200 && ranking.rows.reduce(0) { $0 + $1.bumps } == 200)
            }
        }
    }

    @Test func `sums that are too large for a number are the greatest one`() {
        var greatest = change("workflow", nil, rows: .max, bumps: .max, latency: 5)
        greatest.changes = .max
        for grouping in ChangeRanking.Grouping.allCases {
            let total = ChangeRanking([greatest, greatest], by: grouping, in: .p99).total
            #expect(total.rows == .max && total.changes == .max && total.bumps == .max)
            #expect(total.medianLatency == 5 && total.p99Latency == 5)
        }
    }

    @Test func `median and 99th percentile count each change, and the order is by what was asked for`() {
        var changes = (1...99).map { change("workflow", nil, rows: 1, bumps: 0, latency: Int64($0)) }
        changes.append(change("link", nil, rows: 1_000, bumps: 0, latency: 10_000))
        let ranking = ChangeRanking(changes, by: .table, in: .rows)
        #expect(ranking.rows.map(\.name) == ["link update", "workflow update"])
        #expect(ranking.total.medianLatency == 50 && ranking.total.p99Latency == 99)
        #expect(ChangeRanking(changes, by: .table, in: .changes).rows.first?.name == "workflow update")
        #expect(ChangeRanking([], by: .table, in: .changes).total.medianLatency == nil)
    }
}
