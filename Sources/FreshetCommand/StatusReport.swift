import Keyspace

/// Whether all is well, for programs and for people.
struct StatusReport {
    let namespace: CacheNamespace
    let journal: JournalStatus
    let head: HeadStatus
    /// The attached caches beside this one.
    var further: [(name: String, head: HeadStatus)] = []

    /// What is not well, each in one line; empty where everything is.
    var problems: [String] {
        var problems: [String] = []
        switch head.trust {
        case .healthy: break
        case .degraded:
            problems.append("no worker vouches for the cache: readers take entries only while they are young")
        case .disabled: problems.append("the cache is switched off: readers load everything")
        case .unreachable: problems.append("Redis cannot be reached: \(head.unreachable ?? "no answer")")
        }
        for cache in further where head.trust != .degraded && cache.head.trust == .degraded {
            problems.append(
                "no worker vouches for the cache \(cache.name): readers take entries only while they are young"
            )
        }
        for cache in further where cache.head.trust == .disabled {
            problems.append("the cache \(cache.name) is switched off: its readers load everything")
        }
        if journal.leader == nil { problems.append("no worker leads: start one with freshet run") }
        if !journal.tables.contains(where: { $0.cache == "workflows" }) {
            problems.append("no table is attached: run freshet migrate")
        }
        for table in journal.tables where !table.isWell {
            problems.append(table.problem ?? "\(table.name): its triggers are not as attached; run freshet migrate")
        }
        if journal.identity == "replica" {
            problems.append("this Postgres is a standby: ask the primary")
        } else if let promised = head.head.postgres, head.trust == .healthy, promised != journal.identity {
            problems.append("the worker vouches for another Postgres (\(promised)) than this one (\(journal.identity))")
        }
        return problems
    }

    var json: JSON {
        .object([
            ("well", .bool(problems.isEmpty)),
            ("problems", .array(problems.map { .string($0) })),
            (
                "journal",
                .object([
                    ("rows", .integer(journal.rowCount)),
                    ("oldest_seconds", journal.oldestSeconds.map { .number($0) } ?? .null),
                ])
            ),
            (
                "lease",
                .object([
                    ("trust", .string(head.trust.rawValue)),
                    ("vouched_seconds_ago", head.vouchedSeconds.map { .number($0) } ?? .null),
                    ("length_seconds", head.head.lease.map { .number($0.seconds) } ?? .null),
                ])
            ),
            (
                "leader",
                .object([
                    ("pid", JSON(journal.leader?.processIdentifier)),
                    ("application_name", JSON(journal.leader?.applicationName)),
                    ("connected_seconds", journal.leader?.connectedSeconds.map { .number($0) } ?? .null),
                ])
            ),
            (
                "namespace",
                .object([
                    ("name", .string("\(namespace)")),
                    ("generation", JSON(head.head.generation?.description)),
                ])
            ),
            (
                "further_caches",
                .array(
                    further.map(json)
                )
            ),
            (
                "postgres",
                .object([
                    ("identity", .string(journal.identity)),
                    ("vouched_for", JSON(head.head.postgres)),
                ])
            ),
            (
                "tables",
                .array(
                    journal.tables.map { table in
                        .object([
                            ("name", .string(table.name)),
                            ("cache", .string(table.cache)),
                            ("subject", .string(table.subject)),
                            ("triggers_enabled", .bool(table.areTriggersEnabled)),
                            ("well", .bool(table.isWell)),
                            ("problem", JSON(table.problem)),
                        ])
                    }
                )
            ),
        ])
    }

    private func json(_ cache: (name: String, head: HeadStatus)) -> JSON {
        .object([
            ("cache", .string(cache.name)),
            ("name", .string("\(namespace.sibling(named: cache.name))")),
            ("generation", JSON(cache.head.head.generation?.description)),
            ("trust", .string(cache.head.trust.rawValue)),
            ("vouched_seconds_ago", cache.head.vouchedSeconds.map { .number($0) } ?? .null),
        ])
    }

    func text(_ terminal: Terminal) -> String {
        func row(_ name: String, _ text: String) -> String {
            "\(terminal.style(name.padded(to: 13), .faint))\(text)"
        }
        var lines: [String] = []
        lines.append(
            problems.isEmpty
                ? row("freshet", terminal.style("well", .green, .bold))
                : row("freshet", terminal.style("not well", .red, .bold))
        )
        lines.append(
            row(
                "journal",
                journal.rowCount == 0
                    ? "empty"
                    : "\(journal.rowCount) waiting, the oldest for \(journal.oldestSeconds.map(Self.age) ?? "?")"
            )
        )
        var lease = terminal.style(head.trust.rawValue, head.trust.style)
        if let vouched = head.vouchedSeconds { lease += ", vouched for \(Self.age(vouched)) ago" }
        if head.vouchedSeconds != nil, let length = head.head.lease { lease += " (holds \(Self.age(length.seconds)))" }
        lines.append(row("lease", lease))
        if let leader = journal.leader {
            var text = "backend \(leader.processIdentifier)"
            if let name = leader.applicationName, !name.isEmpty { text += ", \(name)" }
            if let age = leader.connectedSeconds { text += ", for \(Self.age(age))" }
            lines.append(row("leader", text))
        } else {
            lines.append(row("leader", terminal.style("none", .red)))
        }
        lines.append(
            row(
                "generation",
                "\(head.head.generation?.description ?? "none")  \(terminal.style("\(namespace)", .faint))"
            )
        )
        for cache in further {
            var lease = terminal.style(cache.head.trust.rawValue, cache.head.trust.style)
            if let vouched = cache.head.vouchedSeconds { lease += ", vouched for \(Self.age(vouched)) ago" }
            lines.append(row(cache.name, lease))
            let name = terminal.style("\(namespace.sibling(named: cache.name))", .faint)
            lines.append(row("", "\(cache.head.head.generation?.description ?? "none")  \(name)"))
        }
        for (index, table) in journal.tables.enumerated() {
            let state = table.isWell ? terminal.style("enabled", .green) : terminal.style("not as attached", .red)
            lines.append(row(index == 0 ? "triggers" : "", "\(state)  \(table.name)"))
        }
        if journal.tables.isEmpty { lines.append(row("triggers", terminal.style("none", .red))) }
        for problem in problems {
            lines.append("\(terminal.style("✗", .red)) \(problem)")
        }
        return lines.joined(separator: "\n")
    }

    /// A time as people say it.
    static func age(_ seconds: Double) -> String {
        switch seconds {
        case ..<0: "less than no time"
        case ..<1: "\(Int((seconds * 1_000).rounded())) ms"
        case ..<120: "\((seconds * 10).rounded() / 10) s"
        case ..<7_200: "\(Int(seconds / 60)) min"
        case ..<172_800: "\(Int(seconds / 3_600)) h"
        default: "\(Int(seconds / 86_400)) d"
        }
    }
}

extension Duration {
    /// In seconds.
    var seconds: Double { Double(wholeMicroseconds) / 1_000_000 }
}

extension String {
    /// The text with spaces behind it, up to a width.
    func padded(to width: Int) -> String {
        self + String(repeating: " ", count: Swift.max(0, width - count))
    }
}
