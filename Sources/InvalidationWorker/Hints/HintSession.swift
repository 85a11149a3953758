/// A session with Postgres that hears of changes while another claims them.
///
/// Whatever a call throws is the end of the session. Not to be used by two tasks at once.
package protocol HintSession: Sendable {
    /// Waits for notifications of changes, and returns what those that have come by then tell, with what was looked up for it in a
    /// snapshot that shows the rows.
    ///
    /// - Parameter isWanted: Whether a row is of interest, by its id.
    func hear(_ isWanted: @Sendable (String) -> Bool) async throws -> [HeardChanges]

    /// Ends the session.
    func close() async
}

/// What was heard of one cache.
package struct HeardChanges: Sendable {
    package let cache: String
    let hints: [Hint]
    /// What resolves them; nil where it cannot be looked up, or is more than hints are for.
    package var facts: [FactRow]?

    private static let hintsAtOnce = 64

    /// The rows, in the order in which they were heard of.
    package var rows: [JournalRow] { hints.map(\.row) }

    /// Reads some payloads, by the cache, without facts; whatever is no hint is left out.
    ///
    /// Nor is more read than one flight is for: where so much is changed, a pass is cheaper.
    package static func read(_ payloads: [String], _ isWanted: (String) -> Bool) -> [HeardChanges] {
        let hints = payloads.prefix(hintsAtOnce).compactMap { Hint($0) }.filter { isWanted($0.id) }
        return Dictionary(grouping: hints, by: \.cache).sorted { $0.key < $1.key }
            .map { HeardChanges(cache: $0.key, hints: $0.value) }
    }
}

/// Opens a ``HintSession`` that listens, or throws.
package typealias HintOpener = @Sendable () async throws -> any HintSession
