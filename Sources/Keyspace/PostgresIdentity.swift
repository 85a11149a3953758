/// Which Postgres a snapshot was taken on: a cluster, a timeline of it, and an incarnation of that timeline.
///
/// The system identifier survives a promotion and the timeline a crash; the incarnation token, kept in an UNLOGGED
/// table, does not survive crash recovery. Together they tell whether commits that readers have seen may be gone.
/// Written `<system identifier>/<timeline>/<token>`, as the SQL function `freshet.identity()` returns it.
public struct PostgresIdentity: Hashable, Sendable {
    /// The cluster's system identifier, decimal.
    public let system: String
    /// The timeline of the WAL file being written.
    public let timeline: UInt32
    /// The incarnation token; nil where crash recovery or a promotion has emptied its table.
    public let incarnation: String?

    /// Reads the text of `freshet.identity()`; nil for a server in recovery (`replica`) and for anything else.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 3, !parts[0].isEmpty, let timeline = UInt32(parts[1]), !parts[2].isEmpty else {
            return nil
        }
        system = String(parts[0])
        self.timeline = timeline
        incarnation = parts[2] == "-" ? nil : String(parts[2])
    }

    /// Whether this server was left behind by a promotion that `other` has already seen.
    ///
    /// Then it is a fenced-off old primary, and must promise nothing about the data.
    public func isBehind(_ other: PostgresIdentity) -> Bool {
        system == other.system && timeline < other.timeline
    }
}

extension PostgresIdentity: CustomStringConvertible {
    /// `<system identifier>/<timeline>/<token>`, the token being `-` where there is none.
    public var description: String { "\(system)/\(timeline)/\(incarnation ?? "-")" }
}
