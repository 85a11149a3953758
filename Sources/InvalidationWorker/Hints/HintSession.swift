/// A session with Postgres that hears of changes while another claims them.
///
/// Whatever a call throws is the end of the session. Not to be used by two tasks at once.
package protocol HintSession: Sendable {
    /// Waits for notifications of changes, and returns what those that have come by then carry, in order.
    func payloads() async throws -> [String]

    /// Looks up, in a snapshot that shows the rows, what they cannot be resolved without.
    ///
    /// - Returns: Nil where nothing can be looked up, or where there is more than hints are for.
    func facts(of rows: [JournalRow], for cache: String) async throws -> [FactRow]?

    /// Ends the session.
    func close() async
}

/// Opens a ``HintSession`` that listens, or throws.
package typealias HintOpener = @Sendable () async throws -> any HintSession

/// The rules by which a cache resolves rows before they are claimed.
package protocol HintRules: CacheRules {
    /// What a row changes, such that two rows which have none of it in common invalidate by themselves what they do together.
    func subjects(of row: JournalRow) -> Set<Int64>
}
