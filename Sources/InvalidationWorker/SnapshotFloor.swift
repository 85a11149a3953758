/// A snapshot in which the journal was empty, and hence which rows a later claim needs to look at.
///
/// Deleted rows stay in the heap and the index for as long as some old snapshot could see them. Without a floor, each claim
/// would wade through them again: 12 ms instead of 0.4 ms at 100,000 dead rows, measured, and three times that where it finds
/// a row. Rows of transactions that were complete in the floor's snapshot were visible in it, and it saw none; so only those at
/// or above its xmax, or then in progress, can be there. It says nothing of rows restored or replicated with foreign
/// transaction ids: a sweep without it finds those.
package struct SnapshotFloor: Hashable, Sendable {
    /// The first transaction id that the snapshot had not assigned yet, in decimal.
    package let xmax: String
    /// The transactions that were in progress, in decimal.
    package let inProgress: [String]

    /// Reads the text of a `pg_snapshot`, `xmin:xmax:xip,xip,…`.
    init?(snapshot: String) {
        let parts = snapshot.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 3, UInt64(parts[1]) != nil else { return nil }
        let transactions = parts[2].split(separator: ",")
        guard transactions.allSatisfy({ UInt64($0) != nil }) else { return nil }
        xmax = String(parts[1])
        inProgress = transactions.map(String.init)
    }
}
