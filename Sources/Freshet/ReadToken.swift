import Keyspace

/// What a read must not answer from before.
///
/// A writer gets one with `SELECT freshet.token()`, inside the transaction after it has written or after its commit, or makes one
/// of the transaction id that it already has (`pg_current_xact_id()`). The promise: a read that is given the token of what has
/// been committed never answers from before that commit. It answers from the cache once the worker has applied the commit and
/// vouches for it; until then it waits, up to ``CacheOptions/tokenWait``, and then loads, without storing what it loads.
///
/// The loader must read the primary, as always. A token that was made before the commit must be used after it: a read that comes
/// before may answer, and be right, from before.
public struct ReadToken: Hashable, Sendable {
    private enum Content: Hashable, Sendable {
        case transaction(UInt64)
        case snapshot(TransactionSnapshot)
    }

    private let content: Content
    private let postgres: String?

    /// The token of one transaction, by its id of 64 bits.
    ///
    /// - Parameter postgres: What `freshet.identity()` says where it was committed. Without it a token made after a failover or a
    ///   crash can be taken for applied too early, where the server that goes on counts from below what the one before had
    ///   reached, until the worker's first pass on it.
    public init(transaction: UInt64, postgres: String? = nil) {
        content = .transaction(transaction)
        self.postgres = postgres
    }

    /// The token in the text that `freshet.token()` returned; nil where it is none.
    public init?(_ text: String) {
        let parts = text.split(separator: " ", omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty else { return nil }
        if let transaction = UInt64(parts[1]) {
            content = .transaction(transaction)
        } else if let snapshot = TransactionSnapshot(parts[1]) {
            content = .snapshot(snapshot)
        } else {
            return nil
        }
        postgres = String(parts[0])
    }

    /// Whether a head vouches for what the token stands for.
    func isApplied(in head: Head) -> Bool {
        guard let applied = head.snapshot, postgres == nil || postgres == head.postgres else { return false }
        return switch content {
        case .transaction(let id): applied.contains(id)
        case .snapshot(let snapshot): applied.contains(snapshot)
        }
    }
}

extension ReadToken: CustomStringConvertible {
    /// The text that ``init(_:)`` reads, where the Postgres is known.
    public var description: String {
        let text =
            switch content {
            case .transaction(let id): String(id)
            case .snapshot(let snapshot): snapshot.description
            }
        return postgres.map { "\($0) \(text)" } ?? text
    }
}
