/// A session with Postgres that hears of changes while another claims them.
///
/// Not to be used by two tasks at once.
package protocol HintSession: Sendable {
    /// Waits for notifications of changes, and hands on what those that have come by then tell, with what was looked up for it in a
    /// snapshot that shows the rows; again and again, until the task is cancelled or the session is lost.
    ///
    /// - Parameters:
    ///   - isWanted: Whether a row is of interest, by its id.
    ///   - others: Is told, before anything else is done, where they stand for more than can be told so.
    ///   - body: What is done about changes. The next notifications are waited for when it has returned.
    func hear(
        _ isWanted: @Sendable (String) -> Bool,
        others: @Sendable () -> Void,
        _ body: @Sendable ([HeardChanges]) async -> Void
    ) async throws -> Never

    /// Ends the session.
    func close() async
}

/// What some notifications tell.
package struct HeardNotifications: Sendable {
    /// By cache, without what is of no interest.
    package var changes: [HeardChanges]
    /// Whether that, with what is of no interest, is all that they stand for.
    package let isAll: Bool

    private static let hintsAtOnce = 64

    /// Reads some payloads, without facts; whatever is no hint is left out.
    ///
    /// Nor is more read than one flight is for: where so much is changed, a pass is cheaper.
    ///
    /// - Parameter isWanted: Whether a row is of interest, by its id.
    package init(_ payloads: [String], _ isWanted: (String) -> Bool) {
        let hints = payloads.prefix(Self.hintsAtOnce).compactMap { Hint($0) }
        isAll = hints.count == payloads.count
        changes = Dictionary(grouping: hints.filter { isWanted($0.id) }, by: \.cache).sorted { $0.key < $1.key }
            .map { HeardChanges(cache: $0.key, hints: $0.value) }
    }
}

/// What was heard of one cache.
package struct HeardChanges: Sendable {
    package let cache: String
    let hints: [Hint]
    /// What resolves them; nil where it cannot be looked up, or is more than hints are for.
    package var facts: [FactRow]?

    /// The rows, in the order in which they were heard of.
    package var rows: [JournalRow] { hints.map(\.row) }
}

/// Opens a ``HintSession`` that listens, or throws.
package typealias HintOpener = @Sendable () async throws -> any HintSession
