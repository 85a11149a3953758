internal import NIOCore

// One connection, from the moment the transport stands until it is gone.
//
//     idle ──start──▶ handshaking ──last reply──▶ ready ──▶ closed
//       └───────────────────┴──── failure, close ───────────▲
//
// Redis replies in the order of the commands, and nothing in a reply says which command it answers. So the queue below
// is the only thing that keeps one caller from getting another's reply, and its invariants are those of the product:
//
//   * A place is taken for a pipeline exactly when its bytes are written, in the order of the bytes.
//   * A place leaves the queue only when its last reply has arrived. A caller that goes away (cancelled) leaves its
//     place standing, empty: the replies still come and are dropped.
//   * A caller that ran out of time closes the connection. Replies are in order, so everything behind is late too, and a
//     server that hangs would otherwise take every caller's whole time limit in turn.
//   * The time limit of a pipeline outlives its caller, for the same reason that one closes the connection at all:
//     callers that are all cancelled before their limits must not keep a hanging server's connection for ever.
//   * A reply for which no place stands, and one that hiredis cannot read, end the connection: after that, no
//     correspondence between replies and places could be trusted.
//   * After `closed` nothing waits: whoever closes gets all callers that were left.
//
// Decisions only; the handler writes, completes callers and closes.

/// The queue of pipelines that wait for replies on one connection, and the handshake before it.
struct ConnectionStateMachine<Caller> {
    /// Names a place in the queue.
    ///
    /// Places are numbered in their order.
    typealias Place = UInt64

    enum ReplyAction {
        /// Nothing to do yet.
        case none
        /// The handshake is through: callers may be served.
        case becomeReady
        /// The connection cannot be used: close it.
        case fail(RedisError)
        /// All replies of a caller are there.
        case complete(Caller, [RedisReply])
    }

    private enum State {
        case idle(Handshake)
        case handshaking(Handshake)
        case ready
        case closed
    }

    private struct Waiting {
        var caller: Caller?
        let replyCount: Int
    }

    private var state: State
    private var queue = CircularBuffer<Waiting>()
    /// The place of the queue's first element.
    private var first: Place = 0
    /// How many of its replies have arrived.
    private var arrivedCount = 0
    /// Those replies, while it has a caller.
    ///
    /// Not in the queue: its elements are changed by copying, which would copy all replies for each that arrives.
    private var arrived: [RedisReply] = []

    init(handshake: Handshake) {
        state = .idle(handshake)
    }

    /// Whether pipelines are accepted.
    var isReady: Bool {
        if case .ready = state { true } else { false }
    }

    /// The number of places that still wait for replies, those without a caller included.
    var waitingCount: Int { queue.count }

    /// The callers that wait for replies, in order.
    var callers: [Caller] { queue.compactMap(\.caller) }

    /// The transport stands.
    ///
    /// Returns what to send.
    mutating func start() -> [RedisCommand] {
        guard case .idle(let handshake) = state else { return [] }
        state = .handshaking(handshake)
        return handshake.commands
    }

    /// A caller wants to send a pipeline with this many replies.
    ///
    /// Returns its place; nil if it must not be sent.
    mutating func submit(_ caller: Caller, replyCount: Int) -> Place? {
        guard case .ready = state else { return nil }
        precondition(replyCount > 0, "a pipeline without replies would never complete")
        queue.append(Waiting(caller: caller, replyCount: replyCount))
        return first + Place(queue.count - 1)
    }

    /// A reply arrived.
    mutating func received(_ reply: RedisReply) -> ReplyAction {
        switch state {
        case .idle:
            // Not even a greeting exists in this protocol, except for refusals such as "max number of clients".
            if let error = reply.error {
                return .fail(
                    RedisError(.cannotConnect, "the server refuses the connection: \(error)", underlying: error)
                )
            }
            return .fail(RedisError(.protocolViolation, "a reply before any command"))
        case .handshaking(var handshake):
            switch handshake.received(reply) {
            case .wait:
                state = .handshaking(handshake)
                return .none
            case .done:
                state = .ready
                return .becomeReady
            case .failed(let error):
                return .fail(error)
            }
        case .ready:
            guard let waiting = queue.first else {
                return .fail(RedisError(.protocolViolation, "a reply that nothing asked for"))
            }
            arrivedCount += 1
            // Without a caller a reply is dropped at once: a cancelled caller holds no memory.
            if waiting.caller != nil {
                if arrivedCount == 1 {
                    arrived.reserveCapacity(waiting.replyCount)
                }
                arrived.append(reply)
            }
            guard arrivedCount == waiting.replyCount else { return .none }
            queue.removeFirst()
            first += 1
            arrivedCount = 0
            let replies = arrived
            arrived = []
            return waiting.caller.map { .complete($0, replies) } ?? .none
        case .closed:
            // What was still in the buffers when we decided to close.
            return .none
        }
    }

    /// Whether replies are still missing in this place.
    func isWaiting(_ place: Place) -> Bool {
        place >= first && place - first < UInt64(queue.count)
    }

    /// The caller in a place goes away.
    ///
    /// Its replies will be dropped; the place stays.
    mutating func abandon(_ place: Place) {
        guard isWaiting(place) else { return }
        let index = queue.index(queue.startIndex, offsetBy: Int(place - first))
        queue[index].caller = nil
        if place == first {
            arrived = []
        }
    }

    /// The connection is gone or given up.
    ///
    /// Returns the callers that were left, in order; none the second time.
    mutating func close() -> [Caller] {
        state = .closed
        defer {
            first += Place(queue.count)
            queue.removeAll()
            arrived = []
        }
        return callers
    }
}
