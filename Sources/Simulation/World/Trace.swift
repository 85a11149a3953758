import Redis

/// What happened in a schedule, for people; kept only where somebody wants to read it.
final class Trace {
    private var lines: [(time: Int64, text: String)] = []

    func add(_ time: Int64, _ text: String) { lines.append((time, text)) }

    /// Everything that happened; in front of it, of a violation, what concerns it alone.
    func history(of violation: Violation?) -> String {
        let all = lines.map { describe($0) }.joined(separator: "\n")
        guard let violation, let detector = violation.detector else { return all }
        let entity = "freshet:workflows:{0}:\(detector)"
        let relevant = lines.filter { line in
            line.time <= violation.time && !line.text.contains(" runs TIME")
                && (line.text.hasPrefix("FAULT") || line.text.hasPrefix("postgres") || line.text.hasPrefix("VIOLATION")
                    || line.text.hasPrefix("writer") || line.text.contains(" runs apply")
                    || line.text.contains("claims")
                    || line.text.contains(entity) || line.text.contains(" \(detector)/"))
        }
        return "What concerns detector \(detector):\n\(relevant.map { describe($0) }.joined(separator: "\n"))\n\n"
            + "Everything:\n\(all)"
    }

    private func describe(_ line: (time: Int64, text: String)) -> String {
        "\(Double(line.time / 1_000) / 1_000) ms  \(line.text)"
    }

    static func describe(_ element: RedisBatch.Element) -> String {
        switch element {
        case .command(let command):
            return command.arguments.map { printable($0) }.joined(separator: " ")
        case .script(let script, let keys, let arguments):
            return "\(script.name) \(keys) \(arguments.map { printable($0.modelBytes) })"
        }
    }

    static func describe(_ reply: RedisReply) -> String {
        switch reply {
        case .simple(let text): text
        case .bulk(let bytes): printable(bytes)
        case .integer(let number): "\(number)"
        case .array(let elements): "[\(elements.map { describe($0) }.joined(separator: ", "))]"
        case .null: "nil"
        case .error(let error): "\(error)"
        }
    }

    private static func printable(_ bytes: some Collection<UInt8>) -> String {
        bytes.allSatisfy { (0x20...0x7E).contains($0) }
            ? String(decoding: bytes, as: UTF8.self) : "<\(bytes.count) bytes>"
    }
}
