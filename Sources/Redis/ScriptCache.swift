internal import NIOConcurrencyHelpers

/// The hashes of the scripts that the server has told us.
///
/// They depend on the Lua text alone, so they are kept for good.
final class ScriptCache: Sendable {
    private let hashes = NIOLockedValueBox<[RedisScript: String]>([:])

    /// The hash by which the server knows this script, if we know it.
    func hash(of script: RedisScript) -> String? {
        hashes.withLockedValue { $0[script] }
    }

    /// Keeps the hashes that a pipeline brought.
    func learn(_ learned: [RedisScript: String]) {
        guard !learned.isEmpty else { return }
        hashes.withLockedValue { $0.merge(learned) { _, new in new } }
    }
}
