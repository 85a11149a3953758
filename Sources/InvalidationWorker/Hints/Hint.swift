import Postgres

/// What a notification tells of a row of the journal, ahead of the claim that takes the row.
///
/// Anybody may notify. So a hint is good for an extra bump and nothing else: what a pass leaves out is what was bumped for the very row
/// that it claims, and a row is known by an id that nobody can guess before the row is visible.
struct Hint: Hashable, Sendable {
    /// The row's `hint` in the journal.
    var id: String
    /// The cache that the row belongs to.
    var cache: String
    /// The row, as far as it is told.
    var row: JournalRow

    /// Reads `<id> <cache> <subject> <operation> <column>=<array>…`; nil for anything else, which is no hint.
    init?(_ payload: String) {
        // Bytes: to look for characters takes more code than all the rest, and the processor has seldom any of it at hand.
        let parts = payload.utf8.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
            .map { Substring($0) }
        guard (4...4 + Self.columnCount).contains(parts.count), parts.allSatisfy({ !$0.isEmpty }),
            (1...Self.idLength).contains(parts[0].utf8.count)
        else {
            return nil
        }
        id = String(parts[0])
        cache = String(parts[1])
        row = JournalRow(subject: String(parts[2]), operation: String(parts[3]))
        for part in parts[4...] {
            guard let sign = part.utf8.firstIndex(of: UInt8(ascii: "=")) else { return nil }
            let name = String(part[..<sign])
            do {
                // Nobody's triggers send so many; somebody else might.
                guard part.utf8.count <= Self.columnLength else { return nil }
                let numbers = try ArrayText.decodeIntegers(part.utf8[part.utf8.index(after: sign)...])
                guard row.integers[name] == nil else { return nil }
                row.integers[name] = numbers
            } catch {
                return nil
            }
        }
    }

    /// More columns than any cache has in the journal.
    private static let columnCount = 16
    /// Of an id, a UUID as Postgres prints it.
    private static let idLength = 36
    /// Of a column with 64 keys, the most that the triggers tell: twice 32, where the keys of 32 links were changed.
    private static let columnLength = 1_400
}
