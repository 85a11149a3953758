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
    func replies(to commands: [RedisCommand], timeLimit: TimeAmount) async throws(RedisError) -> [RedisReply] {
        let bound = try RESPEncoder.bound(of: commands)
        let request = Request(commands: commands, byteBound: bound, timeLimit: timeLimit)
        let result: Result<[RedisReply], RedisError> = await withTaskCancellationHandler {
            // Unchecked, because a request completes once whatever happens: its state says so, and its tests.
            await withUnsafeContinuation { continuation in
                // Whoever runs on the event loop already need not wait for its next turn.
                if eventLoop.inEventLoop {
                    submit(request) { continuation.resume(returning: $0) }
                } else {
                    eventLoop.execute {
                        self.submit(request) { continuation.resume(returning: $0) }
                    }
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
