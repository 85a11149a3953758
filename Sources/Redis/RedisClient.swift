/// The face that one node has today, and Cluster or Sentinel can have later.
public protocol RedisClient: Sendable {
    /// Sends all batches in one pipeline and returns a reply for each command.
    ///
    /// `replies[i][j]` answers `commands[j]` of `batches[i]`; for a transaction these are the elements of EXEC's array.
    /// What the server says against a command is a value among the replies. Batches keep their order, but nothing more
    /// is promised between them: a cluster would send them to several nodes.
    ///
    /// - Parameters:
    ///   - batches: What to send. Nothing is sent, and nothing awaited, if there is no command in it.
    ///   - timeLimit: How long the caller waits at most, connecting included; nil is the client's own default.
    /// - Throws: ``RedisError`` when the connection or the time ran out, or when the task was cancelled.
    func send(_ batches: [RedisBatch], timeLimit: Duration?) async throws(RedisError) -> [[RedisReply]]
}

extension RedisClient {
    /// Sends all batches in one pipeline, with the client's own time limit.
    public func send(_ batches: [RedisBatch]) async throws(RedisError) -> [[RedisReply]] {
        try await send(batches, timeLimit: nil)
    }

    /// Sends one command that belongs to `key`.
    public func send(
        _ command: RedisCommand,
        key: String,
        timeLimit: Duration? = nil
    ) async throws(RedisError) -> RedisReply {
        let replies = try await send([RedisBatch(key: key, commands: [command])], timeLimit: timeLimit)
        guard let reply = replies.first?.first else {
            throw RedisError(.protocolViolation, "\(command.name) got no reply")
        }
        return reply
    }
}
