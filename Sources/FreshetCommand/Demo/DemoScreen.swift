import Synchronization

/// What the demonstration prints: plain lines, with colour where there is a terminal for it.
final class DemoScreen: Sendable {
    /// Nobody reads standard output any more.
    struct Unwatched: Error {}

    let terminal: Terminal
    private let shown = Mutex(false)

    init(_ terminal: Terminal) {
        self.terminal = terminal
    }

    /// Whether all steps have been shown.
    var hasShownSteps: Bool { shown.withLock { $0 } }

    func stepsAreShown() {
        shown.withLock { $0 = true }
    }

    /// - Throws: ``Unwatched``; ``Failure`` where standard output takes nothing.
    func line(_ text: String = "") throws {
        guard try Terminal.write(text) else { throw Unwatched() }
    }

    func title(_ number: Int, _ text: String) throws {
        let mark = terminal.style("\(number)".leftPadded(to: 2), .cyan, .bold)
        try line("\n\(mark)  \(terminal.style(text, .bold))")
    }

    func sql(_ statement: String) throws {
        for part in statement.split(separator: "\n") { try line("    \(terminal.style(part, .cyan))") }
    }

    func note(_ text: String) throws {
        try line("    \(text)")
    }

    func remark(_ text: String) throws {
        try line("    \(terminal.style(text, .faint))")
    }

    func met(_ text: String) throws {
        try line("    \(terminal.style("✓", .green)) \(text)")
    }

    func unmet(_ expected: String, saw: String) throws {
        try line("    \(terminal.style("✗ expected: \(expected)", .red)); saw: \(saw)")
    }
}

extension String {
    func leftPadded(to width: Int) -> String {
        String(repeating: " ", count: Swift.max(0, width - count)) + self
    }
}

extension Duration {
    /// As people say it: `0.84 ms`, `12 ms`, `2.1 s`.
    var spoken: String {
        let milliseconds = seconds * 1_000
        func rounded(_ value: Double, _ digits: Int) -> String {
            var scale = 1.0
            for _ in 0..<digits { scale *= 10 }
            let whole = Int((value * scale).rounded())
            guard digits > 0 else { return "\(whole)" }
            let fraction = "\(whole % Int(scale))"
            return "\(whole / Int(scale)).\(String(repeating: "0", count: digits - fraction.count))\(fraction)"
        }
        switch milliseconds {
        case ..<1: return "\(rounded(max(0, milliseconds), 2)) ms"
        case ..<10: return "\(rounded(milliseconds, 1)) ms"
        case ..<1_000: return "\(rounded(milliseconds, 0)) ms"
        default: return "\(rounded(milliseconds / 1_000, 1)) s"
        }
    }
}

extension Int64 {
    /// `1 entry`, `2,412 entries`.
    func counted(_ one: String, _ many: String) -> String {
        "\(grouped) \(self == 1 ? one : many)"
    }

    /// With a comma at every third digit.
    var grouped: String {
        var text = ""
        for (index, digit) in String(magnitude).reversed().enumerated() {
            if index > 0, index % 3 == 0 { text.append(",") }
            text.append(digit)
        }
        return (self < 0 ? "-" : "") + String(text.reversed())
    }
}
