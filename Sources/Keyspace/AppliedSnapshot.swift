/// What has been applied: a snapshot of Postgres, every commit visible in which has been bumped.
///
/// The text is that of `pg_snapshot`: `xmin:xmax:xip,…`, transaction ids with their epoch, 64 bits.
public struct AppliedSnapshot: Hashable, Sendable {
    private let xmin: UInt64
    private let xmax: UInt64
    private let inProgress: Set<UInt64>

    /// The snapshot in some text; nil where it is none.
    public init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 3, let xmin = UInt64(parts[0]), let xmax = UInt64(parts[1]), xmin <= xmax else {
            return nil
        }
        var inProgress: Set<UInt64> = []
        for part in parts[2].split(separator: ",") {
            guard let id = UInt64(part) else { return nil }
            inProgress.insert(id)
        }
        self.xmin = xmin
        self.xmax = xmax
        self.inProgress = inProgress
    }

    /// Whether a transaction that has committed was visible, and so has been applied.
    public func contains(_ transaction: UInt64) -> Bool {
        transaction < xmin || (transaction < xmax && !inProgress.contains(transaction))
    }
}
