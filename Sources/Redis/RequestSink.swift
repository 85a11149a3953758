internal import NIOCore

/// What takes requests on an event loop of its own, and completes each of them once.
protocol RequestSink: AnyObject, Sendable {
    var eventLoop: any EventLoop { get }

    /// Sends a request; on the event loop only.
    func submit(_ request: Request, _ completion: @escaping Request.Completion)

    /// The caller of a request was cancelled; on the event loop only.
    func cancel(_ request: Request)
}

extension RequestSink {
    /// Sends some commands as one pipeline and waits for their replies.
    func replies(to commands: [RedisCommand], timeLimit: Duration) async throws(RedisError) -> [RedisReply] {
        var encoder = RESPEncoder()
        for command in commands {
            try encoder.encode(command)
        }
        let request = Request(bytes: encoder.buffer, replyCount: commands.count, timeLimit: TimeAmount(timeLimit))
        let result: Result<[RedisReply], RedisError> = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                eventLoop.execute {
                    self.submit(request) { continuation.resume(returning: $0) }
                }
            }
        } onCancel: {
            eventLoop.execute {
                self.cancel(request)
            }
        }
        return try result.get()
    }
}
