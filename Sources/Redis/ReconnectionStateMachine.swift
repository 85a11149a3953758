internal import NIOCore

// When to connect. Only callers make it move: while nobody calls, nothing is tried and no timer runs.
//
//     idle ──demand──▶ connecting ──▶ connected ──lost──▶ idle (if it had served) or backing off
//      ▲                   │ failed
//      └─demand, when due─ backing off          closed, from anywhere, for ever
//
// There is never more than one attempt. Attempts are numbered, so that news of one that was given up is told apart.
// A connection counts as good only after it has served a reply. A server that accepts, and hangs up on the first
// command, is backed off from like one that refuses: otherwise its callers would reconnect at the speed of the network.

/// Decides what a caller without a connection gets: a new attempt, the one under way, or the reason of the last failure.
struct ReconnectionStateMachine {
    /// Names one attempt to connect and the connection that came of it.
    typealias Attempt = UInt64

    enum DemandAction {
        /// A connection stands: use it.
        case send
        /// Wait for the attempt under way.
        case join
        /// Begin this attempt, and wait for it.
        case connect(Attempt)
        /// Fail at once, with this.
        case fail(RedisError)
        /// The client is closed.
        case refuse
    }

    private enum State {
        case idle
        case connecting(Attempt)
        case connected(Attempt, hasServed: Bool)
        case backingOff(until: NIODeadline, cause: RedisError)
        case closed
    }

    /// The shortest pause between two attempts.
    static let shortestPause: TimeAmount = .milliseconds(250)
    /// The longest pause between two attempts.
    static let longestPause: TimeAmount = .seconds(5)

    private var state = State.idle
    private var lastAttempt: Attempt = 0
    /// Attempts and connections in a row that were of no use.
    private(set) var failures = 0

    var isClosed: Bool {
        if case .closed = state { true } else { false }
    }

    /// A caller wants to send.
    ///
    /// - Parameter now: Read only where there is no connection, because reading a clock takes as long as all the rest.
    mutating func demand(now: @autoclosure () -> NIODeadline) -> DemandAction {
        switch state {
        case .connected:
            return .send
        case .connecting:
            return .join
        case .backingOff(let until, let cause) where now() < until:
            return .fail(cause)
        case .idle, .backingOff:
            lastAttempt += 1
            state = .connecting(lastAttempt)
            return .connect(lastAttempt)
        case .closed:
            return .refuse
        }
    }

    /// Whether this attempt is the one that is under way.
    func isConnecting(_ attempt: Attempt) -> Bool {
        if case .connecting(attempt) = state { true } else { false }
    }

    /// The attempt made it.
    ///
    /// Returns whether it is still wanted.
    mutating func connected(_ attempt: Attempt) -> Bool {
        guard isConnecting(attempt) else { return false }
        state = .connected(attempt, hasServed: false)
        return true
    }

    /// The connection of this attempt has served a caller.
    mutating func served(_ attempt: Attempt) {
        if case .connected(attempt, hasServed: false) = state {
            state = .connected(attempt, hasServed: true)
            failures = 0
        }
    }

    /// The attempt, or the connection that came of it, came to nothing.
    ///
    /// Returns whether that was news.
    ///
    /// - Parameter jitter: From 0 up to 1; where between the shortest pause and the present cap the pause lies.
    mutating func failed(_ attempt: Attempt, _ error: RedisError, now: NIODeadline, jitter: Double) -> Bool {
        switch state {
        case .connected(attempt, hasServed: true):
            // Servers restart and hang up on idle connections: the next caller may try at once.
            state = .idle
            return true
        case .connecting(attempt), .connected(attempt, hasServed: false):
            break
        case .idle, .connecting, .connected, .backingOff, .closed:
            return false
        }
        failures += 1
        state = .backingOff(until: now + Self.pause(afterFailures: failures, jitter: jitter), cause: error)
        return true
    }

    /// The client is closed.
    ///
    /// Returns false if it was already.
    mutating func close() -> Bool {
        guard !isClosed else { return false }
        state = .closed
        return true
    }

    static func pause(afterFailures failures: Int, jitter: Double) -> TimeAmount {
        let shortest = shortestPause.nanoseconds
        let cap = min(longestPause.nanoseconds, shortest << min(max(failures, 1), 16))
        return .nanoseconds(shortest + Int64(Double(cap - shortest) * min(max(jitter, 0), 1)))
    }
}
