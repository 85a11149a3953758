internal import NIOCore

/// Watches the time of all requests of one sink with one timer.
///
/// A timer of the event loop costs more than everything else about a request, and nearly all of them would be cancelled. So
/// there is one, set for the earliest deadline, and left to run when that request is done: it then finds nothing late, and
/// sets itself for the earliest that is left. It keeps no request: who waits, the sink knows. Used on the event loop only.
final class Deadlines {
    private let eventLoop: any EventLoop
    private let pending: () -> [Request]
    private let expire: (Request) -> Void
    private var timer: (deadline: NIODeadline, scheduled: Scheduled<Void>)?

    /// Deadlines on an event loop.
    ///
    /// - Parameters:
    ///   - pending: All requests that were given to ``watch(_:)`` and are not done.
    ///   - expire: Is called with each request whose time is over.
    init(eventLoop: any EventLoop, pending: @escaping () -> [Request], expire: @escaping (Request) -> Void) {
        self.eventLoop = eventLoop
        self.pending = pending
        self.expire = expire
    }

    deinit {
        timer?.scheduled.cancel()
    }

    /// The time of a request begins now.
    func watch(_ request: Request) {
        let deadline = eventLoop.now + request.timeLimit
        request.deadline = deadline
        set(for: deadline)
    }

    private func set(for deadline: NIODeadline) {
        if let timer {
            guard deadline < timer.deadline else { return }
            timer.scheduled.cancel()
        }
        let scheduled = eventLoop.assumeIsolated().scheduleTask(deadline: deadline) { [weak self] in
            self?.ring()
            return
        }
        timer = (deadline, scheduled)
    }

    private func ring() {
        timer = nil
        let now = eventLoop.now
        // In the order of their deadlines, as timers of their own would have it.
        for request in pending().filter({ $0.deadline <= now }).sorted(by: { $0.deadline < $1.deadline }) {
            expire(request)
        }
        // Of those that were not watched, none is over at any time.
        if let next = pending().map(\.deadline).min(), next < .distantFuture { set(for: next) }
    }
}
