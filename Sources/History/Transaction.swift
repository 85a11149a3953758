/// What a writer did, or tried to do, with the moments between which it became visible if it did.
///
/// A writer takes the locks of the owners that it changes anything of, and reads there which transaction held them last: its
/// parent. It changes what it likes, leaves its own id, and reads in its own snapshot what the sets are now; nobody else can change
/// them before it ends. All this is written down before COMMIT is sent.
public struct Transaction: Hashable, Sendable, Codable {
    /// Unique.
    public var id: UInt64
    /// The parents by owner; 0 is the empty beginning.
    public var parents: [Int: UInt64]
    /// The locks were held by now.
    public var seen: Moment
    /// COMMIT was sent after this.
    public var sent: Moment
    /// The sets that are not empty of all owners of `parents`, as text.
    public var values: [HistoryKey: String]

    /// A transaction.
    public init(
        id: UInt64,
        parents: [Int: UInt64],
        seen: Moment,
        sent: Moment,
        values: [HistoryKey: String]
    ) {
        self.id = id
        self.parents = parents
        self.seen = seen
        self.sent = sent
        self.values = values
    }
}

/// A line of what a writer records.
public enum WriterRecord: Sendable, Codable {
    /// COMMIT is about to be sent.
    case intent(Transaction)
    /// COMMIT was acknowledged before this.
    case acknowledged(id: UInt64, at: Moment)
    /// The server said that it did not commit.
    case refused(id: UInt64)
}
