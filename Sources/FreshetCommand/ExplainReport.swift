import Audit
import InvalidationWorker
import Keyspace

/// What is known of one key, for programs and for people.
struct ExplainReport {
    let detector: Int64
    let view: KeyView
    /// What the database says; nil where it could not be asked.
    let truths: Auditor.Truths?
    /// The last changes that invalidated the key, or may have, the oldest first.
    let changes: [CoveringChange]

    /// Whether a reader is served something that the database does not say and no change explains.
    var isWrong: Bool { truths?.findings.values.contains { $0.verdict == .inconsistent } == true }

    /// What the entry has that the database has not, and the other way round; nil where that is not known.
    private func difference(_ entry: KeyView.Entry) -> ValueDifference? {
        guard let cached = entry.rows, let database = truths?.rows[entry.name] else { return nil }
        return ValueDifference(cached: cached, database: database)
    }

    // MARK: JSON

    var json: JSON {
        .object([
            ("detector", .integer(detector)),
            ("key", .string(view.key)),
            (
                "head",
                .object([
                    ("trust", .string(view.trust.rawValue)),
                    ("switch", .string(view.head.isSwitchedOff ? "off" : "on")),
                    ("generation", JSON(view.head.generation?.description)),
                    (
                        "vouched_seconds_ago",
                        view.head.vouched.map { .number(view.time.since($0).seconds) } ?? .null
                    ),
                    ("lease_seconds", view.head.lease.map { .number($0.seconds) } ?? .null),
                    ("postgres", JSON(view.head.postgres)),
                    ("snapshot", JSON(view.head.snapshot?.description)),
                ])
            ),
            ("generation", JSON(view.generation?.description)),
            ("foreign", .bool(view.isForeign)),
            ("expires_in_seconds", view.timeToLive.map { .number($0.seconds) } ?? .null),
            ("entries", .array(view.entries.map(json))),
            ("seen_at_microseconds", .integer(view.time.microseconds)),
            ("changes", .array(changes.reversed().map(\.json))),
            (
                "journal",
                truths.map { truths in
                    .object([
                        ("rows", .integer(truths.journal.count)),
                        ("covers_key", .bool(view.entries.contains { isJournaled($0, truths) })),
                    ])
                } ?? .null
            ),
            ("postgres", JSON(truths?.postgres)),
            ("wrong", truths == nil ? .null : .bool(isWrong)),
        ])
    }

    private func isJournaled(_ entry: KeyView.Entry, _ truths: Auditor.Truths) -> Bool {
        truths.journal.scopes.covers(entry.name.entity, entry.name.variant)
    }

    private func json(_ entry: KeyView.Entry) -> JSON {
        let difference = difference(entry)
        let finding = truths?.findings[entry.name]
        return .object([
            ("field", .string("e:\(entry.name.variant)")),
            ("valid", .bool(entry.state == .valid)),
            ("state", .string(entry.state.word)),
            ("reason", JSON(entry.state.reason)),
            ("generation", JSON(entry.generation?.description)),
            ("bytes", JSON(entry.size.map { Int64($0) })),
            ("age_seconds", entry.age.map { .number($0.seconds) } ?? .null),
            (
                "stamp",
                entry.stamp.map { stamp in
                    .object([
                        ("namespace", .string(stamp.namespace.description)),
                        ("entity", .string(stamp.entity.description)),
                        ("variant", JSON(stamp.variant?.description)),
                        ("read_at_microseconds", .integer(stamp.readAt.microseconds)),
                    ])
                } ?? .null
            ),
            ("cached", entry.rows.map { .array($0.map { .integer($0.id) }) } ?? .null),
            ("database", truths?.rows[entry.name].map { .array($0.map { .integer($0.id) }) } ?? .null),
            ("agree", difference.map { .bool($0.isEmpty) } ?? .null),
            ("difference", JSON(difference.flatMap { $0.isEmpty ? nil : $0.text })),
            ("verdict", JSON(finding?.verdict.word)),
        ])
    }

    // MARK: Text

    func text(_ terminal: Terminal) -> String {
        func row(_ name: String, _ text: String) -> String {
            "\(terminal.style(name.padded(to: 13), .faint))\(text)"
        }
        var lease = terminal.style(view.trust.rawValue, view.trust.style)
        if let vouched = view.head.vouched {
            lease += ", vouched for \(StatusReport.age(view.time.since(vouched).seconds)) ago"
        }
        var lines = [
            row("detector", terminal.style(String(detector), .bold)),
            row("key", view.key),
            row("lease", lease),
            row("switch", view.head.isSwitchedOff ? terminal.style("off", .yellow) : "on"),
            row("namespace", view.head.generation?.description ?? "no generation: nothing is valid"),
            row("entity", view.generation?.description ?? "no generation: nothing of it is cached"),
        ]
        if view.isForeign { lines.append(row("", terminal.style("something else lies under the key", .red))) }
        if let timeToLive = view.timeToLive {
            lines.append(row("expires", "in \(StatusReport.age(timeToLive.seconds))"))
        }
        for entry in view.entries {
            lines += ["", terminal.style(Self.title(entry), .bold)]
            lines += self.lines(entry, terminal)
        }
        lines.append("")
        if let truths {
            lines.append(row("journal", truths.journal.count == 0 ? "empty" : "\(truths.journal.count) waiting"))
        }
        lines.append(row("changes", changes.isEmpty ? "none known" : "the last \(changes.count)"))
        lines += changes.reversed().map { "  \($0.text(terminal))" }
        return lines.joined(separator: "\n")
    }

    private static func title(_ entry: KeyView.Entry) -> String {
        entry.name.variant == .global ? "global" : "environment \(Redaction.visible(entry.name.variant.text))"
    }

    private func lines(_ entry: KeyView.Entry, _ terminal: Terminal) -> [String] {
        func row(_ name: String, _ text: String) -> String {
            "  \(terminal.style(name.padded(to: 11), .faint))\(text)"
        }
        let state = entry.state.reason.map { "\(entry.state.word): \($0)" } ?? entry.state.word
        var lines = [
            row("entry", terminal.style(state, entry.state == .valid ? .green : .yellow)),
            row("generation", entry.generation?.description ?? "none yet"),
        ]
        if let size = entry.size {
            let age = entry.age.map { ", \(StatusReport.age($0.seconds)) old" } ?? ""
            lines.append(row("stored", "\(size) bytes\(age)"))
        }
        if let stamp = entry.stamp {
            lines.append(row("loaded", Timestamp(stamp.readAt).text()))
            lines.append(row("stamp", stamp.text))
        }
        if let rows = entry.rows { lines.append(row("cached", Self.list(rows))) }
        guard let database = truths?.rows[entry.name] else {
            return lines + [row("database", truths == nil ? "unknown" : "no reader asks for this entry")]
        }
        lines.append(row("database", Self.list(database)))
        if let difference = difference(entry) {
            if difference.isEmpty {
                lines.append(row("both", terminal.style("agree", .green)))
            } else {
                lines.append(row("both", terminal.style("differ: \(difference.text)", .red)))
            }
        }
        if let verdict = truths?.findings[entry.name]?.verdict {
            let text = verdict.reason.map { "\(verdict.word): \($0)" } ?? verdict.word
            lines.append(row("verdict", terminal.style(text, verdict == .inconsistent ? .red : .yellow)))
        }
        return lines
    }

    private static func list(_ rows: [AuditedRow]) -> String {
        guard !rows.isEmpty else { return "no workflow" }
        let ids = rows.map(\.id).sorted()
        let shown = ids.prefix(20).map { String($0) }.joined(separator: ", ")
        let noun = ids.count == 1 ? "workflow" : "workflows"
        return "\(noun) \(shown)" + (ids.count > 20 ? " and \(ids.count - 20) more" : "")
    }
}

extension KeyView.State {
    /// One word, as programs read it.
    fileprivate var word: String {
        switch self {
        case .valid: "valid"
        case .absent: "absent"
        case .damaged: "damaged"
        case .stale(let level): "stale_\(level.rawValue)"
        case .expired: "expired"
        case .tooOld: "degraded"
        case .switchedOff: "switched_off"
        }
    }

    /// Why a reader is not served it.
    fileprivate var reason: String? {
        switch self {
        case .valid, .absent: nil
        case .damaged(.wrongLength): "it is shorter or longer than it says"
        case .damaged(.notAnEntry): "it was not written by Freshet"
        case .damaged(.unknownVersion(let version)): "version \(version) is not known here"
        case .damaged(.wrongChecksum): "its checksum does not match"
        case .damaged(.malformed), .damaged(nil): "it cannot be read"
        case .stale(.namespace): "everything was invalidated since it was loaded"
        case .stale(.entity): "the detector was invalidated, or has no generation, since it was loaded"
        case .stale(.variant): "the environment was invalidated since it was loaded"
        case .expired: "it is older than any entry may be"
        case .tooOld: "nobody vouches for it, and it is too old to be served without"
        case .switchedOff: "the cache is switched off"
        }
    }
}
