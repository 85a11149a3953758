import Audit
import ChangeFeed
import InvalidationWorker
import Keyspace

/// What a run has brought so far.
struct AuditSums: Sendable {
    var tallies: [String: AuditTally] = [:]
    /// How often something could not be decided, or was in flight, by the reason.
    var reasons: [String: Int] = [:]
    /// How many entries the last round has found in Redis.
    var foundCount = 0
    private var rounds = AuditRounds()

    var total: AuditTally { tallies.values.reduce(AuditTally(), +) }

    /// What the nines are about.
    var proven: AuditTally { rounds.proven }

    mutating func endRound() { rounds.end() }

    /// Ends a round that failed, and that the next one begins again.
    mutating func breakOffRound() { rounds.breakOff() }

    mutating func add(_ batch: Auditor.Batch) {
        for (cache, tally) in batch.tallies {
            tallies[cache] = (tallies[cache] ?? AuditTally()) + tally
            rounds.add(tally)
        }
        for finding in batch.findings {
            if let reason = finding.verdict.reason { reasons[reason, default: 0] += 1 }
        }
        foundCount = batch.foundCount
    }
}

/// What an audit found, for programs and for people.
struct AuditReport {
    let selection: AuditSelection
    let sums: AuditSums

    // MARK: The sums

    var json: JSON {
        let caches = sums.tallies.sorted { $0.key < $1.key }
        return .object([
            ("audit", .string("sums")),
            ("selection", .string(selection == .all ? "all" : "sample")),
            ("well", sums.total.isWell.map { .bool($0) } ?? .null),
            ("total", Self.json(of: sums.total)),
            ("wrong_rate_bound", .number(sums.proven.bound.rate)),
            ("confidence", .number(ErrorRateBound.confidence)),
            ("nines", .number(sums.proven.bound.nines)),
            ("caches", .object(caches.map { ($0.key, Self.json(of: $0.value)) })),
            ("reasons", .object(sums.reasons.sorted { $0.key < $1.key }.map { ($0.key, .integer(Int64($0.value))) })),
        ])
    }

    private static func json(of tally: AuditTally) -> JSON {
        .object([
            ("checked", .integer(Int64(tally.checked))),
            ("consistent", .integer(Int64(tally.consistent))),
            ("in_flight", .integer(Int64(tally.inFlight))),
            ("inconsistent", .integer(Int64(tally.inconsistent))),
            ("undecided", .integer(Int64(tally.undecided))),
            ("not_served", .integer(Int64(tally.notServed))),
        ])
    }

    func text(_ terminal: Terminal) -> String {
        let total = sums.total
        func row(_ name: String, _ text: String) -> String {
            "\(terminal.style(name.padded(to: 13), .faint))\(text)"
        }
        func count(_ name: String, _ value: Int, _ style: Terminal.Style, _ text: String) -> String {
            row(name, value == 0 ? "0" : "\(terminal.style(String(value), style))\(text.isEmpty ? "" : "  \(text)")")
        }
        let verdict =
            switch total.isWell {
            case true?: terminal.style("well", .green, .bold)
            case false?: terminal.style("not well", .red, .bold)
            case nil: terminal.style(total.checked > 0 ? "not all told" : "nothing told", .yellow)
            }
        var lines = [
            row("audit", verdict),
            row(
                "entries",
                "\(total.total) looked at, \(selection == .all ? "all" : "a sample") of \(sums.foundCount) in Redis"
            ),
            count("consistent", total.consistent, .green, ""),
            count("in flight", total.inFlight, .yellow, "a change explains them"),
            count("undecided", total.undecided, .yellow, ""),
            count("inconsistent", total.inconsistent, .red, ""),
        ]
        if total.notServed > 0 {
            lines.append(count("not served", total.notServed, .faint, "no reader would be given them"))
        }
        let bound = sums.proven.bound
        if bound.checked > 0 {
            lines.append(
                row(
                    "nines",
                    "\(Self.rounded(bound.nines, 1)): with 95 % confidence at most \(Self.percent(bound.rate)) are wrong, by "
                        + "\(sums.proven.consistent) right of \(bound.checked)"
                )
            )
        }
        if sums.tallies.count > 1 {
            for (cache, tally) in sums.tallies.sorted(by: { $0.key < $1.key }) {
                lines.append(row(cache, "\(tally.consistent) right of \(tally.checked)"))
            }
        }
        for (reason, count) in sums.reasons.sorted(by: { $0.key < $1.key }) {
            lines.append("\(terminal.style("•", .yellow)) \(count): \(reason)")
        }
        return lines.joined(separator: "\n")
    }

    /// One line, while a person waits.
    static func progress(_ sums: AuditSums) -> String {
        let total = sums.total
        return "\(sums.foundCount) found, \(total.total) looked at, \(total.inconsistent) inconsistent"
    }

    /// Down, so that nothing is promised that was not shown.
    private static func rounded(_ value: Double, _ digits: Int) -> String {
        let factor = (0..<digits).reduce(1.0) { factor, _ in factor * 10 }
        return String((value * factor).rounded(.down) / factor)
    }

    /// Up, to two digits that count.
    private static func percent(_ rate: Double) -> String {
        var (value, factor) = (rate * 100, 1.0)
        while value * factor < 10, factor < 1e12 { factor *= 10 }
        value = (value * factor).rounded(.up) / factor
        return "\(value) %"
    }

    // MARK: One entry

    /// - Parameter changes: Of the entry's cache; nil where nobody has asked for them.
    static func json(of finding: AuditFinding, changes: RecentChanges?, repairedBy change: String?) -> JSON {
        var members: [(String, JSON)] = [
            ("audit", .string("entry")),
            ("verdict", .string(finding.verdict.word)),
            ("reason", JSON(finding.verdict.reason)),
            ("cache", .string(finding.cache)),
            ("key", .string(finding.key)),
            ("field", .string("e:\(finding.name.variant)")),
            ("entity", .string(finding.name.entity.text)),
            ("variant", .string(finding.name.variant.text)),
            (
                "stamp",
                .object([
                    ("namespace", .string(finding.stamp.namespace.description)),
                    ("entity", .string(finding.stamp.entity.description)),
                    ("variant", JSON(finding.stamp.variant?.description)),
                    ("read_at_microseconds", .integer(finding.stamp.readAt.microseconds)),
                ])
            ),
            (
                "generations",
                .object([
                    ("namespace", JSON(finding.generations.namespace?.description)),
                    ("entity", JSON(finding.generations.entity?.description)),
                    ("variant", JSON(finding.generations.variant?.description)),
                ])
            ),
            (
                "head",
                .object([
                    ("trust", JSON(finding.time.map { finding.head.trust(at: $0).rawValue })),
                    ("vouched_microseconds", JSON(finding.head.vouched?.microseconds)),
                    ("snapshot", JSON(finding.head.snapshot?.description)),
                    ("postgres", JSON(finding.head.postgres)),
                ])
            ),
            ("seen_at_microseconds", JSON(finding.time?.microseconds)),
            ("cached", .array(finding.cached.map(json))),
            ("database", finding.database.map { .array($0.map(json)) } ?? .null),
            ("database_postgres", JSON(finding.postgres)),
            ("difference", finding.difference.map(json) ?? .null),
        ]
        members.append(("journal", finding.journal.map(json) ?? .null))
        members.append(("changes", changes.map { json($0, of: finding) } ?? .null))
        members.append(("changes_unknown", JSON(changes?.reasonUnknown)))
        members.append(("repaired_by_change", JSON(change)))
        return .object(members)
    }

    private static func json(_ row: AuditedRow) -> JSON {
        .object(
            [("id", .integer(row.id))]
                + row.columns.map { column in
                    switch column.content {
                    case .null: (column.name, .null)
                    case .bool(let value): (column.name, .bool(value))
                    case .integer(let value): (column.name, .integer(value))
                    case .text(let bytes): (column.name, .string(String(decoding: bytes, as: UTF8.self)))
                    case .moment(let value): (column.name, .string(Timestamp(microsecondsSince1970: value).text()))
                    }
                }
        )
    }

    private static func json(_ difference: ValueDifference) -> JSON {
        .object([
            ("only_cached", .array(difference.onlyCached.map { .integer($0) })),
            ("only_in_database", .array(difference.onlyInDatabase.map { .integer($0) })),
            (
                "changed",
                .array(
                    difference.changed.map { row in
                        .object([("id", .integer(row.id)), ("columns", .array(row.columns.map { .string($0) }))])
                    }
                )
            ),
        ])
    }

    private static func json(_ journal: JournalView) -> JSON {
        .object([
            ("snapshot", .string(journal.snapshot.description)),
            ("rows", .integer(journal.count)),
            (
                "newest",
                .array(
                    journal.changes.map { change in
                        .object([
                            ("id", .integer(change.id)),
                            ("transaction", .string(change.transaction)),
                            ("changed_at", .string(Timestamp(change).text())),
                            ("subject", .string(change.subject)),
                            ("operation", .string(change.operation)),
                            ("row_count", .integer(change.rowCount)),
                            ("application_name", JSON(change.applicationName)),
                            ("user_name", JSON(change.userName)),
                            ("keys", .string(change.keys)),
                        ])
                    }
                )
            ),
        ])
    }

    /// Null where nothing is known, so that nobody takes that for no change.
    private static func json(_ changes: RecentChanges, of finding: AuditFinding) -> JSON {
        guard case .known(let entries) = changes else { return .null }
        return .object([
            ("records", .integer(Int64(entries.count))),
            ("newest", .array(entries.covering(finding).reversed().map(\.json))),
        ])
    }

    /// - Parameter changes: Of the entry's cache; nil where nobody has asked for them.
    static func text(
        of finding: AuditFinding,
        changes: RecentChanges?,
        repairedBy change: String?,
        _ terminal: Terminal
    ) -> String {
        func row(_ name: String, _ text: String) -> String { "  \(terminal.style(name.padded(to: 11), .faint))\(text)" }
        var lines = [
            "\(terminal.style("✗", .red)) "
                + terminal.style(Redaction.visible("\(finding.key) e:\(finding.name.variant)"), .bold)
                + " differs from the database, though all that the database shows has been applied",
            row("difference", finding.difference?.text ?? "unknown"),
        ]
        for changed in finding.difference?.changed ?? [] {
            let cached = finding.cached.first { $0.id == changed.id }
            let database = finding.database?.first { $0.id == changed.id }
            for column in changed.columns.prefix(3) {
                let (left, right) = (text(cached, column), text(database, column))
                lines.append(row("", "\(changed.id).\(column): cached \(left), database \(right)"))
            }
        }
        lines.append(row("cached", "\(finding.cached.map(\.id))"))
        lines.append(row("database", finding.database.map { "\($0.map(\.id))" } ?? "unknown"))
        let seen = finding.time.map { ", last seen \(Timestamp($0).text())" } ?? ""
        lines.append(row("loaded", "\(Timestamp(finding.stamp.readAt).text())\(seen)"))
        lines.append(row("stamp", finding.stamp.text))
        lines.append(row("head", finding.head.text))
        let journal = finding.journal?.changes ?? []
        let count = finding.journal?.count ?? 0
        lines.append(row("journal", journal.isEmpty ? "nothing waits" : "\(count) rows, the newest:"))
        for change in journal.prefix(5) {
            let line = "\(change.id) \(change.subject) \(change.operation) \(change.keys)"
            lines.append(row("", Redaction.visible(line)))
        }
        let applied = changes.map { text($0, of: finding, terminal) } ?? []
        for (place, line) in applied.enumerated() { lines.append(row(place == 0 ? "changes" : "", line)) }
        if let change { lines.append(row("repair", "change \(change) of the journal")) }
        return lines.joined(separator: "\n")
    }

    /// What is known of the changes that invalidated an entry, line by line.
    private static func text(_ changes: RecentChanges, of finding: AuditFinding, _ terminal: Terminal) -> [String] {
        switch changes {
        case .unknown(let reason): return ["unknown: \(reason)"]
        case .known(let entries):
            let covering = entries.covering(finding)
            if covering.isEmpty { return ["none of the last \(entries.count) records invalidated it"] }
            return ["the last \(covering.count), the newest first:"] + covering.reversed().map { $0.text(terminal) }
        }
    }

    private static func text(_ row: AuditedRow?, _ column: String) -> String {
        guard let content = row?.columns.first(where: { $0.name == column })?.content else { return "nothing" }
        let text =
            switch content {
            case .null: "NULL"
            case .bool(let value): String(value)
            case .integer(let value): String(value)
            case .text(let bytes): "\"\(String(decoding: bytes, as: UTF8.self))\""
            case .moment(let value): Timestamp(microsecondsSince1970: value).text()
            }
        let line = Redaction.visible(text.replacing("\n", with: "\\n"))
        return line.count > 120 ? "\(line.prefix(120))…" : line
    }
}

extension RecentChanges {
    /// Why nothing is known; nil where something is.
    fileprivate var reasonUnknown: String? {
        if case .unknown(let reason) = self { reason } else { nil }
    }
}

extension [ChangeReader.Entry] {
    fileprivate func covering(_ finding: AuditFinding) -> [CoveringChange] {
        covering(finding.name.entity, [finding.name.variant], seen: finding.time)
    }
}

extension Timestamp {
    fileprivate init(_ change: JournalView.Change) {
        self.init(microsecondsSince1970: change.changedAtMicroseconds)
    }
}
