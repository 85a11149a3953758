/// Where a session stands with regard to transactions.
public enum PostgresTransactionStatus: Sendable, Hashable {
    /// No transaction is open.
    case idle
    /// A statement is being executed.
    case active
    /// A transaction is open and well.
    case inTransaction
    /// A transaction is open, has failed, and can only be rolled back.
    case inFailedTransaction
    /// The connection is closed or broken.
    case unknown
}
