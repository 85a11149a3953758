/// A snapshot of Postgres: which transactions are visible.
///
/// The text is that of `pg_snapshot`: `xmin:xmax:xip,…`, transaction ids with their epoch, 64 bits. The head of a bucket has the
/// one that has been applied: every commit visible in it has been bumped.
public struct TransactionSnapshot: Hashable, Sendable {
    private let xmin: UInt64
    private let xmax: UInt64
    private let inProgress: Set<UInt64>

    /// The snapshot in some text; nil where it is none.
    public init?(_ text: some StringProtocol) {
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

    /// Whether a transaction that has committed is visible.
    public func contains(_ transaction: UInt64) -> Bool {
        transaction < xmin || (transaction < xmax && !inProgress.contains(transaction))
    }

    /// Whether every transaction that is visible in another snapshot is visible in this one.
    public func contains(_ other: TransactionSnapshot) -> Bool {
        other.xmax <= xmax && inProgress.allSatisfy { $0 >= other.xmax || other.inProgress.contains($0) }
    }
}

extension TransactionSnapshot: CustomStringConvertible {
    /// As Postgres writes it.
    public var description: String {
        "\(xmin):\(xmax):\(inProgress.sorted().map(String.init).joined(separator: ","))"
    }
}
