// From what a worker tells of its passes to records. A pass may apply 100,000 changes, and a worker make thousands of passes a second:
// neither may become as many records, or the history would cost Redis more than the invalidations do. So changes are folded, first
// those of a pass, then those of several passes, by what they have in common: table, operation, application and user; what is left
// over, into one record of `several`.

package import InvalidationWorker
import Keyspace

extension AppliedChange {
    /// So many records of one pass.
    package static let recordsPerPass = 64

    /// The records of some passes, in their order.
    ///
    /// - Parameters:
    ///   - now: In microseconds since 1970, for passes of which the clock of Postgres is not known.
    ///   - limit: So many at the most.
    package static func records(
        of reports: [PassReport],
        at now: Int64,
        atMost limit: Int
    ) -> [AppliedChange] {
        let records = reports.flatMap { Self.records(of: $0, at: now) }
        return records.count <= limit ? records : folded(records, atMost: limit)
    }

    private static func records(of report: PassReport, at now: Int64) -> [AppliedChange] {
        let namespace = "\(report.namespace)"
        let at = report.invalidatedAtMicroseconds ?? now
        let ofPass = InvalidatedScopes(report.scopes, isOfPass: true)
        func special(_ operation: String, rows: Int64 = 0, changes: Int64 = 0) -> AppliedChange {
            let scopes = report.resetBuckets.isEmpty ? report.scopes : ScopeSet([.namespace])
            return AppliedChange(
                namespace: namespace,
                atMicroseconds: at,
                table: "namespace",
                operation: operation,
                rows: rows,
                changes: changes,
                invalidated: InvalidatedScopes(scopes, isOfPass: false)
            )
        }
        var records = report.changes.map { change in
            var record = AppliedChange(
                namespace: namespace,
                atMicroseconds: at,
                table: change.subject,
                operation: change.operation,
                rows: change.rowCount,
                changes: 1,
                invalidated: change.scopes.map { InvalidatedScopes($0, isOfPass: false) } ?? ofPass
            )
            record.application = change.applicationName.flatMap { $0.isEmpty ? nil : $0 }
            record.user = change.userName
            record.changedAtMicroseconds = change.changedAtMicroseconds
            record.committedAtMicroseconds = change.committedAtMicroseconds
            if let begin = change.committedAtMicroseconds ?? change.changedAtMicroseconds,
                report.invalidatedAtMicroseconds != nil
            {
                record.latencyMicroseconds = at - begin
            }
            return record
        }
        if records.isEmpty && report.rowCount > 0 {
            // How many rows of the tables they stand for nobody has counted.
            records.append(special("collapse", changes: report.rowCount))
        }
        if !report.resetBuckets.isEmpty {
            records.append(special("reset"))
        } else if report.scopes.coversNamespace && !records.contains(where: { $0.invalidated.coversEverything }) {
            // Nothing in the journal says so: the triggers were not the ones that the worker knew.
            records.append(special("acknowledge"))
        }
        records = folded(records, atMost: recordsPerPass)
        share(report.bumpCount, among: &records)
        return records
    }

    /// Divides the bumps of a pass in proportion to what each record invalidates, so that they add up.
    private static func share(_ bumps: Int64, among records: inout [AppliedChange]) {
        // Where everything is invalidated no generation but the namespace's is raised.
        let isEverything = records.contains { $0.invalidated.coversEverything }
        let weights = records.map { record -> Int64 in
            if isEverything { return record.invalidated.coversEverything ? 1 : 0 }
            return record.invalidated.isOfPass ? 1 : Int64(record.invalidated.count)
        }
        let sum = weights.reduce(0, +)
        var (seen, given) = (Int64(0), Int64(0))
        for place in records.indices {
            seen += weights[place]
            // What all up to here are due, less what they have: no remainder is lost.
            let isLast = place == records.count - 1
            let due = isLast && sum == 0 ? bumps : Int64((Double(bumps) * Double(seen) / Double(max(1, sum))).rounded())
            records[place].bumps = due - given
            given = due
        }
    }

    private struct Kind: Hashable {
        var namespace: String
        var table: String
        var operation: String
        var application: String?
        var user: String?
    }

    /// The records, folded by what they have in common where they are more than `limit`.
    private static func folded(_ records: [AppliedChange], atMost limit: Int) -> [AppliedChange] {
        guard records.count > limit else { return records }
        var places: [Kind: Int] = [:]
        var folded: [AppliedChange] = []
        // A place for what is left over, of each namespace.
        let room = max(1, limit - Set(records.map(\.namespace)).count)
        for record in records {
            var record = record
            var kind = record.kind
            if places[kind] == nil && folded.count >= room {
                (record.table, record.operation, record.application, record.user) = (several, several, nil, nil)
                kind = record.kind
            }
            if let place = places[kind] {
                folded[place].add(record)
            } else {
                places[kind] = folded.count
                folded.append(record)
            }
        }
        return folded
    }

    private var kind: Kind {
        Kind(namespace: namespace, table: table, operation: operation, application: application, user: user)
    }

    private mutating func add(_ other: AppliedChange) {
        func earlier(_ left: Int64?, _ right: Int64?) -> Int64? {
            guard let left, let right else { return left ?? right }
            return min(left, right)
        }
        atMicroseconds = max(atMicroseconds, other.atMicroseconds)
        changedAtMicroseconds = earlier(changedAtMicroseconds, other.changedAtMicroseconds)
        committedAtMicroseconds = earlier(committedAtMicroseconds, other.committedAtMicroseconds)
        latencyMicroseconds =
            latencyMicroseconds.map { max($0, other.latencyMicroseconds ?? $0) } ?? other.latencyMicroseconds
        rows += other.rows
        changes += other.changes
        bumps += other.bumps
        invalidated.formUnion(other.invalidated)
    }
}
