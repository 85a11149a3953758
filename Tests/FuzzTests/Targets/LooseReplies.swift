import Redis
import TestSupport

/// Replies as text that stays readable however it is mutated: a token a line, which begins with its kind.
///
/// `*3` is an array of the three that follow, `$text` a bulk, `:7` an integer, `-ERR text` an error, `+OK` a status, `_` nothing,
/// and `E` the entry that the target has: bytes under a checksum would never survive.
struct LooseReplies {
    private static let greatestDepth = 5
    private static let greatestCount = 32
    private var lines: [Substring.UTF8View.SubSequence]
    private let entry: [UInt8]

    /// The replies in some text.
    static func parse(_ text: String, entry: [UInt8] = []) -> [RedisReply] {
        let lines = text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        var loose = LooseReplies(lines: lines.reversed(), entry: entry)
        var replies: [RedisReply] = []
        while let reply = loose.next(depth: 0) { replies.append(reply) }
        return replies
    }

    private mutating func next(depth: Int) -> RedisReply? {
        guard let line = lines.popLast() else { return nil }
        let rest = String(Substring(line.dropFirst()))
        switch line.first.map({ Character(Unicode.Scalar($0)) }) {
        case "*":
            guard depth < Self.greatestDepth else { return .array([]) }
            var elements: [RedisReply] = []
            for _ in 0..<min(Self.greatestCount, Int(rest).map { max(0, $0) } ?? 0) {
                guard let element = next(depth: depth + 1) else { break }
                elements.append(element)
            }
            return .array(elements)
        case "$": return .bulk(Array(rest.utf8))
        case ":": return .integer(Int64(rest) ?? 0)
        case "-": return .error(RedisServerError(line: rest))
        case "+": return .simple(rest)
        case "_": return .null
        case "E": return .bulk(entry)
        default: return .bulk(Array(line))
        }
    }
}
