package import Redis

/// What a near cache asks of a pair of connections; see `TrackedConnection`, which is one.
package protocol TrackingSession: Sendable {
    /// Sends batches without scripts in one pipeline and returns a reply for each command.
    func send(_ batches: [RedisBatch]) async throws(RedisError) -> [[RedisReply]]
    /// Returns when all has been told that had changed before this call.
    func catchUp() async throws(RedisError)
    /// Closes both connections, and tells of it as a loss.
    func close() async
}

extension TrackedConnection: TrackingSession {
    package func send(_ batches: [RedisBatch]) async throws(RedisError) -> [[RedisReply]] {
        try await send(batches, timeLimit: nil)
    }
}

/// Opens a pair of connections, which tells what happens, one event after the other.
package typealias TrackingOpener =
    @Sendable (_ report: @escaping @Sendable (TrackedConnection.Event) -> Void) async throws -> any TrackingSession
