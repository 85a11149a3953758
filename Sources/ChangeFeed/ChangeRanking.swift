/// Changes added up by what they have in common, in an order.
///
/// By table and by application the rows add up to the total. By scope a change counts for each entity that it names, and the bumps are
/// the generations that it names there.
package struct ChangeRanking: Hashable, Sendable {
    /// What changes are added up by.
    package enum Grouping: String, CaseIterable, Sendable {
        case table, application, scope
    }

    /// What the rows are sorted by, the greatest first; names in their order.
    package enum Order: String, CaseIterable, Sendable {
        case changes, rows, bumps, median, p99, name
    }

    /// The sums of one group.
    package struct Row: Hashable, Sendable {
        package var name: String
        package var changes: Int64 = 0
        package var rows: Int64 = 0
        package var bumps: Int64 = 0
        /// In microseconds; nil where none of the changes has one.
        package var medianLatency: Int64?
        package var p99Latency: Int64?
        /// When the last of them was applied, in microseconds since 1970.
        package var lastMicroseconds: Int64 = 0
    }

    package var rows: [Row]
    package var total: Row

    package init(_ changes: some Sequence<AppliedChange>, by grouping: Grouping, in order: Order) {
        var sums: [String: Sum] = [:]
        var total = Sum(name: "total")
        for change in changes {
            total.add(change, bumps: change.bumps)
            switch grouping {
            case .table: sums["\(change.table) \(change.operation)"].add(change, bumps: change.bumps)
            case .application: sums[change.application ?? "(none)"].add(change, bumps: change.bumps)
            case .scope:
                let invalidated = change.invalidated
                if invalidated.coversEverything { sums["everything"].add(change, bumps: 1) }
                for listed in invalidated.entities {
                    sums[listed.entity].add(change, bumps: Int64(listed.variantCount ?? listed.variants?.count ?? 1))
                }
                let rest = invalidated.entityCount - invalidated.entities.count
                if rest > 0 { sums["(not listed)"].add(change, bumps: Int64(rest)) }
            }
        }
        rows = sums.map { name, sum in
            var row = sum.row
            row.name = name
            return row
        }.sorted { left, right in
            func comesFirst(_ value: (Row) -> Int64?) -> Bool {
                let (own, other) = (value(left) ?? -1, value(right) ?? -1)
                return own == other ? left.name < right.name : own > other
            }
            return switch order {
            case .changes: comesFirst(\.changes)
            case .rows: comesFirst(\.rows)
            case .bumps: comesFirst(\.bumps)
            case .median: comesFirst(\.medianLatency)
            case .p99: comesFirst(\.p99Latency)
            case .name: left.name < right.name
            }
        }
        self.total = total.row
    }

    /// A row while it is added up.
    fileprivate struct Sum {
        private var sum: Row
        /// Each with how many changes it stands for.
        private var latencies: [(microseconds: Int64, changes: Int64)] = []

        init(name: String) {
            sum = Row(name: name)
        }

        mutating func add(_ change: AppliedChange, bumps: Int64) {
            Self.add(change.changes, to: &sum.changes)
            Self.add(change.rows, to: &sum.rows)
            Self.add(bumps, to: &sum.bumps)
            sum.lastMicroseconds = max(sum.lastMicroseconds, change.atMicroseconds)
            if let latency = change.latencyMicroseconds { latencies.append((latency, max(1, change.changes))) }
        }

        /// Records may come from anywhere: a sum that is too large for a number is the greatest one.
        private static func add(_ count: Int64, to sum: inout Int64) {
            let (total, isTooLarge) = sum.addingReportingOverflow(count)
            sum = isTooLarge ? .max : total
        }

        var row: Row {
            var row = sum
            let sorted = latencies.sorted { $0.microseconds < $1.microseconds }
            row.medianLatency = Self.quantile(0.5, of: sorted)
            row.p99Latency = Self.quantile(0.99, of: sorted)
            return row
        }

        /// The least latency that so great a part of the changes does not exceed.
        private static func quantile(_ part: Double, of sorted: [(microseconds: Int64, changes: Int64)]) -> Int64? {
            let wanted = sorted.reduce(0.0) { $0 + Double($1.changes) } * part
            var seen = 0.0
            return sorted.first { latency in
                seen += Double(latency.changes)
                return seen >= wanted
            }?.microseconds
        }
    }
}

extension ChangeRanking.Sum? {
    fileprivate mutating func add(_ change: AppliedChange, bumps: Int64) {
        var sum = self ?? ChangeRanking.Sum(name: "")
        self = nil  // Held by one place only, so that adding copies nothing.
        sum.add(change, bumps: bumps)
        self = sum
    }
}
