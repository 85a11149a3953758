import CLibPQ

/// Asks the server to stop the statement that a connection is waiting for.
///
/// libpq's request is a connection of its own that blocks until the server has closed it, so it runs on a thread of
/// its own: neither the cooperative pool nor the connection's thread, which must stay able to close the connection,
/// waits for a host that does not answer. The thread ends with the request, at the latest when TCP gives up.
final class CancelRequest: Sendable {
    private let completion: WaitID
    private let hasEnded = Locked(false)

    /// Sends the request; nil where libpq cannot make one.
    init?(for connection: OpaquePointer, on thread: ConnectionThread) throws(PostgresError) {
        guard let cancel = PQgetCancel(connection) else { return nil }
        completion = thread.makeWaitID()
        let request = Request(cancel)
        // Not the executor itself: the request must not keep the connection's thread alive.
        try OwnThread.start { [weak thread, completion, weak self] in
            request.send()
            self?.hasEnded.withLock { $0 = true }
            thread?.signal(completion)
        }
    }

    /// Whether the server has yet to take the request.
    var isUnderWay: Bool {
        hasEnded.withLock { !$0 }
    }

    /// Waits until the server has taken the request, after which it cannot hit a later statement any more.
    ///
    /// - Returns: false where that did not happen in time.
    func end(
        on thread: ConnectionThread,
        until deadline: ContinuousClock.Instant,
        isolation: isolated any Actor
    ) async -> Bool {
        let wait = thread.begin(completion, until: deadline)
        _ = await thread.end(wait, isCancellable: false, isolation: isolation)
        return hasEnded.withLock { $0 }
    }

    /// Owns a `PGcancel`.
    ///
    /// `@unchecked Sendable` because the structure does not change, one thread uses it, and it is freed when that
    /// thread has let go of it.
    private final class Request: @unchecked Sendable {
        /// A raw pointer because libpq's type is opaque.
        private let cancel: OpaquePointer

        init(_ cancel: OpaquePointer) {
            self.cancel = cancel
        }

        deinit {
            PQfreeCancel(cancel)
        }

        func send() {
            // What libpq says of a failed request is of no use: the caller waits for the statement's result with a
            // limit, and closes the connection when there is none.
            var complaint = [CChar](repeating: 0, count: 256)
            PQcancel(cancel, &complaint, Int32(complaint.count))
        }
    }
}
