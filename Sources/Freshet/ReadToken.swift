/// A transaction that a read must not answer from before.
///
/// After its commit a writer asks for one with `SELECT freshet.token()`, or makes one of the transaction id that it already has
/// (`pg_current_xact_id()`, asked for inside the transaction). The promise: a read that is given the token of a committed
/// transaction never answers from before that commit. It answers from the cache once the worker has applied the commit and
/// vouches for it; until then it waits, up to ``CacheOptions/tokenWait``, and then loads, without storing what it loads.
///
/// The loader must read the primary, as always.
public struct ReadToken: Hashable, Sendable {
    /// The transaction's id, 64 bits, with its epoch.
    public let transaction: UInt64
    /// Which Postgres the transaction was committed in; nil where the writer did not say.
    ///
    /// Without it a token made after a failover can be taken for applied too early, where the promoted server counts from
    /// below what the old one had reached, until the worker's first pass on the new one.
    public let postgres: String?

    /// The token of a transaction id.
    public init(transaction: UInt64, postgres: String? = nil) {
        self.transaction = transaction
        self.postgres = postgres
    }

    /// The token in the text that `freshet.token()` returned; nil where it is none.
    public init?(_ text: String) {
        let parts = text.split(separator: " ", omittingEmptySubsequences: false)
        guard parts.count == 2, let transaction = UInt64(parts[1]), !parts[0].isEmpty else { return nil }
        self.init(transaction: transaction, postgres: String(parts[0]))
    }
}

extension ReadToken: CustomStringConvertible {
    /// The text that ``init(_:)`` reads, where the Postgres is known.
    public var description: String {
        postgres.map { "\($0) \(transaction)" } ?? String(transaction)
    }
}
