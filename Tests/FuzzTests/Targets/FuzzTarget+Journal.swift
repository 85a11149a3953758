import CLibPQ
import Keyspace

@testable import InvalidationWorker
@testable import Postgres

extension FuzzTarget {
    /// What the worker's claim returns, and what notifications say.
    static let journal: [FuzzTarget] = [journalRows, hints, notifications]

    /// Rows of the claim: a line each, the cells divided by `|`, and `~` for NULL.
    private static let journalRows = FuzzTarget(
        name: "journal",
        sound: [
            """
            pass|~|10:20:11|~|~|~|4|4|~|~|~|~|~|~
            cache|workflows|mark|print|~|~|3|~|~|~|~|~|~|~
            attachments|workflows|names|~|~|~|~|~|~|~|~|~|~|~
            attached|workflows|detector|print|~|~|~|~|~|~|~|~|~|~
            change|workflows|detector|update|psql|app|2|1700000000000000|1700000000000400|~|{1,2}|~|~|~
            change|workflows|workflow|update|psql|app|1|1700000000000000|1700000000000400|~|~|{10}|{NULL}|{7}
            change|workflows|link|insert|~|app|1|1700000000000000|1700000000000400|00000000-0000-4000-8000-000000000001|{3}|{10}|~|~
            fan|workflows|link|~|~|~|4|10|~|~|~|~|~|~
            fact|workflows|environment|~|~|~|10|7|~|~|~|~|~|~
            clock|~|~|~|~|~|1700000000000900|~|~|~|~|~|~|~
            """,
            """
            pass|~|10:20:|~|~|~|1|1|~|~|~|~|~|~
            cache|datasources|~|~|~|~|2|~|~|~|~|~|~|~
            attached|datasources|source|print|a problem|~|~|~|~|~|~|~|~|~
            change|datasources|datasource|update|psql|app|1|0|~|~|{1}|~|{metric}|{metric}|{17}|{18}
            change|datasources|namespace|invalidate|psql|app|0|0|~|~|~|~|~|~
            """,
        ],
        words: [
            "|", "~", "\n", "{", "}", "{NULL}", "{1,2,3}", "truncate", "drift", "entry", "invalidate", "delete",
            "insert",
            "9223372036854775807", "-9223372036854775808", "change|workflows|", "datasources", "workflows",
        ],
        parse: { text in
            guard let result = rows(of: text) else { return false }
            let claim: Claim
            do {
                claim = try Claim(result, rules: Caches.all, factsProblems: [:], collapseThreshold: 3)
            } catch {
                try require(error is PostgresError || error is WorkerError, "\(type(of: error)): \(error)")
                return false
            }
            for cache in claim.caches { try check(cache) }
            _ = (TransactionSnapshot(claim.snapshot), SnapshotFloor(snapshot: claim.snapshot))
            return claim.caches.contains { $0.rowCount > 0 }
        }
    )

    /// Payloads of notifications.
    private static let hints = FuzzTarget(
        name: "hint",
        sound: [
            "6a0f1e5c-0000-4000-8000-000000000001 workflows workflow update workflow_ids={7} old_environment_ids={NULL} "
                + "new_environment_ids={5}",
            "6a0f1e5c-0000-4000-8000-000000000002 workflows link insert detector_ids={1,2} workflow_ids={7,7}",
            "6a0f1e5c-0000-4000-8000-000000000003 workflows detector update detector_ids={9223372036854775807}",
        ],
        words: [
            " ", "=", "{", "}", "{}", "NULL", ",", "workflow_ids={7}", "detector_ids=", "delete", "escalation", "link",
        ],
        parse: { text in
            guard let hint = Hint(text) else { return false }
            try require(!hint.id.isEmpty && hint.id.utf8.count <= 36, "an id of \(hint.id.utf8.count) bytes")
            let facts = (hint.row.integers["workflow_ids"] ?? []).map {
                FactRow(kind: "link", number1: 17, number2: $0)
            }
            _ = (WorkflowRules().scopes(of: [hint.row], facts: facts), WorkflowRules().ties(of: hint.row))
            return true
        }
    )

    /// Payloads that were heard at once, a line each.
    private static let notifications = FuzzTarget(
        name: "notifications",
        sound: [
            """
            a-1 workflows link insert detector_ids={1,2} workflow_ids={7,7}
            a-2 workflows workflow update workflow_ids={7} old_environment_ids={NULL} new_environment_ids={5}
            b-3 datasources source delete
            claimed workflows detector update detector_ids={3}
            """,
            // More than are read at once.
            Array(repeating: "a w l i", count: 66).joined(separator: "\n"),
        ],
        words: ["\n", "claimed ", "workflows ", "datasources ", "workflow_ids={7}", "\na w l i", " ", "{}", "NULL"],
        parse: { text in
            let payloads = text.split(separator: "\n", omittingEmptySubsequences: false).map { String($0) }
            let isWanted = { (id: String) in id != "claimed" }
            let heard = HeardNotifications(payloads, isWanted)
            let caches = heard.changes.map(\.cache)
            try require(caches == Set(caches).sorted(), "not each cache once, in order: \(caches)")
            for changes in heard.changes {
                let isRight = changes.hints.allSatisfy { $0.cache == changes.cache && isWanted($0.id) }
                try require(isRight && !changes.hints.isEmpty, "of another cache, or of no interest: \(changes)")
                _ = WorkflowRules().scopes(of: changes.rows, facts: [])
            }
            let told = heard.changes.flatMap(\.hints).count
            try require(told <= 64, "\(told) hints at once")
            // What is passed over in silence would wait for the next poll.
            let hints = payloads.compactMap { Hint($0) }
            let isWhole = hints.count == payloads.count && told == hints.count { isWanted($0.id) }
            try require(isWhole || !heard.isAll, "\(told) hints are not all of \(payloads.count)")
            return told > 0
        }
    )

    /// Whoever changes a detector must find it invalidated, whatever else stands in the batch.
    private static func check(_ claim: CacheClaim) throws {
        _ = (claim.triggers, claim.distrust)
        guard case .changes(let rows) = claim.backlog else {
            try require(
                claim.scopes.coversNamespace,
                "\(claim.cache): a backlog that collapsed covers less than everything"
            )
            return
        }
        try require(Int64(rows.count) == claim.rowCount, "\(rows.count) rows of \(claim.rowCount)")
        guard claim.cache == "workflows" else { return }
        for row in rows {
            for case let id? in row.integers["detector_ids"] ?? [] where row.subject == "detector" {
                try require(claim.scopes.covers(Entity(id), .global), "\(row) leaves detector \(id) cached")
            }
            guard WorkflowChange.Subject(rawValue: row.subject) == nil else { continue }
            try require(claim.scopes.coversNamespace, "\(row) is not known, and passed over")
        }
    }

    /// A result of libpq, as if it had come from a server; nil for one without rows.
    private static func rows(of text: String) -> QueryResult? {
        let lines = text.split(separator: "\n").prefix(40)
        guard !lines.isEmpty, let result = PQmakeEmptyPGresult(nil, PGRES_TUPLES_OK) else { return nil }
        let width = 10 + (Caches.all.map(\.journalColumns.count).max() ?? 0)
        var name = Array("c\0".utf8.map { CChar(bitPattern: $0) })
        name.withUnsafeMutableBufferPointer { name in
            // libpq copies the names within the call.
            var columns = (0..<width).map { _ in
                PGresAttDesc(
                    name: name.baseAddress,
                    tableid: 0,
                    columnid: 0,
                    format: 0,
                    typid: 25,
                    typlen: -1,
                    atttypmod: -1
                )
            }
            PQsetResultAttrs(result, Int32(width), &columns)
        }
        for (row, line) in lines.enumerated() {
            let cells = line.split(separator: "|", omittingEmptySubsequences: false)
            for column in 0..<width {
                guard cells.indices.contains(column), cells[column] != "~" else {
                    PQsetvalue(result, Int32(row), Int32(column), nil, -1)
                    continue
                }
                // libpq copies the value within the call.
                var bytes = cells[column].utf8.map { CChar(bitPattern: $0) }
                let count = Int32(bytes.count)
                PQsetvalue(result, Int32(row), Int32(column), &bytes, count)
            }
        }
        return QueryResult(owning: result)
    }
}
