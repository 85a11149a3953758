import Foundation

/// Does something that blocks where it holds up nobody: on a thread of its own.
///
/// Of a pool's threads there would be as many as cores at first, and one more whenever it notices that all of them block: clients that
/// are to begin together would not.
func onThread<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread { continuation.resume(with: Swift.Result { try body() }) }
    }
}
