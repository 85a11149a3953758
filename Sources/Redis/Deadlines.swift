internal import NIOCore

/// Watches the time of all requests of one sink with one timer.
///
/// A timer of the event loop costs more than everything else about a request, and nearly all of them would be cancelled. So
/// there is one, set for the earliest deadline, and left to run when that request is done: it then finds nothing late, and
/// sets itself for the earliest that is left. Used on the event loop only.
final class Deadlines {
    private let eventLoop: any EventLoop
    private let expire: (Request) -> Void
    private var requests: [ObjectIdentifier: Request] = [:]
    private var timer: (deadline: NIODeadline, scheduled: Scheduled<Void>)?

    /// Deadlines on an event loop; `expire` is called with each request whose time is over.
    init(eventLoop: any EventLoop, expire: @escaping (Request) -> Void) {
        self.eventLoop = eventLoop
        self.expire = expire
    }

    deinit {
        timer?.scheduled.cancel()
    }

    /// The time of a request begins now.
    func watch(_ request: Request) {
        let deadline = eventLoop.now + request.timeLimit
        request.watched(by: self, deadline: deadline)
        requests[ObjectIdentifier(request)] = request
        set(for: deadline)
    }

    /// A request is done.
    func forget(_ request: Request) {
        requests[ObjectIdentifier(request)] = nil
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
        for request in requests.values.filter({ $0.deadline <= now }).sorted(by: { $0.deadline < $1.deadline }) {
            forget(request)
            expire(request)
        }
        if let next = requests.values.map(\.deadline).min() { set(for: next) }
    }
}
