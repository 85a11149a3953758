import Doctor

/// The findings, for programs and for people.
struct DoctorReport {
    let findings: [Finding]
    let version: String

    /// What matters.
    var problems: [Finding] { findings.filter { $0.severity == .problem } }

    /// Whether nothing is wrong that matters; nil where nobody can tell, because something that decides could not be checked.
    var isWell: Bool? {
        guard problems.isEmpty else { return false }
        return findings.contains { $0.severity == .unchecked && $0.check.isDecisive } ? nil : true
    }

    // MARK: For programs

    var json: JSON {
        .object([
            ("well", isWell.map { .bool($0) } ?? .null),
            ("version", .string(version)),
            (
                "counts",
                .object(
                    Finding.Severity.allCases.map { severity in
                        (severity.rawValue, .integer(Int64(findings.count { $0.severity == severity })))
                    }
                )
            ),
            ("findings", .array(findings.map(json))),
        ])
    }

    private func json(_ finding: Finding) -> JSON {
        .object([
            ("check", .string(finding.check.rawValue)),
            ("severity", .string(finding.severity.rawValue)),
            ("subject", JSON(finding.subject.map(Redaction.line))),
            ("what", .string(Redaction.line(finding.what))),
            ("why", finding.why.isEmpty ? .null : .string(Redaction.line(finding.why))),
            (
                "mend",
                finding.mend.map { mend in
                    .object([("kind", .string(mend.kind)), ("text", .string(Redaction.line(mend.text)))])
                } ?? .null
            ),
        ])
    }

    // MARK: For people

    /// Areas in order, each with what is not well; the rest in a line, or in full.
    func text(_ terminal: Terminal, showsAll: Bool) -> String {
        var lines = [headline(terminal)]
        var areas: [String] = []
        for area in findings.map(\.check.area) where !areas.contains(area) { areas.append(area) }
        for area in areas {
            let own = findings.filter { $0.check.area == area }
            let quiet = own.filter { $0.severity == .well || $0.severity == .information }
            let loud = own.filter { $0.severity != .well && $0.severity != .information }
            guard showsAll || !loud.isEmpty else {
                lines.append(
                    "\(terminal.style("✓", .green)) \(terminal.style(area, .bold)) \(summary(quiet, terminal))"
                )
                continue
            }
            lines.append("")
            lines.append(terminal.style(area, .bold))
            for finding in showsAll ? own : loud { lines += block(finding, terminal) }
            if !showsAll, !quiet.isEmpty {
                lines.append("  \(terminal.style("✓", .green)) \(summary(quiet, terminal))")
            }
            lines.append("")
        }
        // One empty line between blocks, none at the end.
        var text: [String] = []
        for line in lines where !(line.isEmpty && text.last?.isEmpty == true) { text.append(line) }
        while text.last?.isEmpty == true { text.removeLast() }
        return text.joined(separator: "\n")
    }

    private func headline(_ terminal: Terminal) -> String {
        func count(_ severity: Finding.Severity, _ one: String, _ many: String) -> String? {
            let count = findings.count { $0.severity == severity }
            return count == 0 ? nil : "\(count) \(count == 1 ? one : many)"
        }
        let isWhole = !findings.contains { $0.severity == .unchecked }
        let state =
            switch isWell {
            case false?: terminal.style("not well", .red, .bold)
            case nil: terminal.style("unknown, for what decides could not be checked", .yellow, .bold)
            case true?: terminal.style(isWhole ? "well" : "nothing wrong in what could be checked", .green, .bold)
            }
        let counts = [
            count(.problem, "problem", "problems"), count(.advice, "piece of advice", "pieces of advice"),
            count(.unchecked, "check not made", "checks not made"),
        ].compactMap { $0 }
        return "\(state)\(counts.isEmpty ? "" : ": \(counts.joined(separator: ", "))")"
    }

    private func summary(_ findings: [Finding], _ terminal: Terminal) -> String {
        var titles: [String] = []
        for finding in findings where !titles.contains(finding.check.title) { titles.append(finding.check.title) }
        return terminal.style(titles.joined(separator: ", "), .faint)
    }

    private func block(_ finding: Finding, _ terminal: Terminal) -> [String] {
        let sign =
            switch finding.severity {
            case .problem: terminal.style("✗", .red)
            case .advice: terminal.style("!", .yellow)
            case .unchecked: terminal.style("?", .cyan)
            case .information: terminal.style("·", .faint)
            case .well: terminal.style("✓", .green)
            }
        let title = terminal.style("\(finding.check.title):", .faint)
        var lines = ["  \(sign) \(title) \(Redaction.line(finding.what))"]
        if !finding.why.isEmpty {
            lines += wrapped(finding.why, terminal.width - 4).map { "    \(terminal.style($0, .faint))" }
        }
        switch finding.mend {
        case nil: break
        case .sql(let text)?: lines.append("    \(terminal.style("SQL", .cyan)) \(Redaction.line(text))")
        case .shell(let text)?: lines.append("    \(terminal.style("$", .cyan)) \(Redaction.line(text))")
        case .advice(let text)?: lines.append("    \(terminal.style("→", .cyan)) \(Redaction.line(text))")
        }
        return lines
    }

    /// The text in lines of a width; commands are not wrapped, for they are copied.
    private func wrapped(_ text: String, _ width: Int) -> [String] {
        var lines: [String] = []
        for word in text.split(separator: " ") {
            if let last = lines.last, last.count + 1 + word.count <= max(40, width) {
                lines[lines.count - 1] = "\(last) \(word)"
            } else {
                lines.append(String(word))
            }
        }
        return lines
    }
}
