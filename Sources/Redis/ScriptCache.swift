internal import NIOConcurrencyHelpers

/// The hashes of the scripts that the server has told us.
///
/// They depend on the Lua text alone, so they are kept for good.
final class ScriptCache: Sendable {
    private let hashes = NIOLockedValueBox<[String: String]>([:])

    /// The hash by which the server knows this text, if we know it.
    func hash(of source: String) -> String? {
        hashes.withLockedValue { $0[source] }
    }

    /// Keeps the hashes that a pipeline brought, by their texts.
    func learn(_ learned: [String: String]) {
        guard !learned.isEmpty else { return }
        hashes.withLockedValue { $0.merge(learned) { _, new in new } }
    }
}
