// The connection that is told which tracked keys have changed.
//
//     idle ──start──▶ handshaking ──▶ identifying ──CLIENT ID──▶ subscribing ──SUBSCRIBE──▶ subscribed      closed, from anywhere
//
// In RESP2 a subscriber gets messages that nothing asked for. They are arrays that begin with `message`, and the replies to
// PING are arrays that begin with `pong`, so that here, unlike on other connections, each says what it is. Two traps:
//
//   * A message may come before the reply to SUBSCRIBE: the subscription stands from the moment it is executed.
//   * A message whose keys are null means every key: FLUSHALL, or a dataset that was replaced as a whole.
//
// What a `pong` is good for: Redis writes a message before it goes on to the next command, so what was changed before a PING
// was executed has been told when its `pong` arrives.
//
// Decisions only; the handler writes, reports and closes.

/// What the connection for invalidations does with each reply.
struct InvalidationStateMachine {
    enum Action: Equatable {
        /// Nothing to do.
        case none
        /// The subscription stands: other connections may redirect their tracking to this client.
        case ready(clientID: Int64)
        /// These keys have changed, or are gone.
        case invalidated([[UInt8]])
        /// Every key may have changed.
        case invalidatedEverything
        /// The oldest PING is answered.
        case alive
    }

    private enum State {
        case idle(Handshake)
        case handshaking(Handshake)
        case identifying
        case subscribing(clientID: Int64)
        case subscribed
        case closed
    }

    /// The channel that Redis reserves for this.
    static let channel = "__redis__:invalidate"

    private var state: State
    /// How many PINGs have no answer yet.
    private var pingCount = 0

    init(handshake: Handshake) {
        state = .idle(handshake)
    }

    /// The transport stands.
    ///
    /// Returns what to send.
    mutating func start() -> [RedisCommand] {
        guard case .idle(let handshake) = state else { return [] }
        state = .handshaking(handshake)
        return handshake.commands + [RedisCommand("CLIENT", "ID"), RedisCommand("SUBSCRIBE", .string(Self.channel))]
    }

    /// A PING is about to be sent.
    ///
    /// Returns nil if it must not be.
    mutating func ping() -> RedisCommand? {
        guard case .subscribed = state else { return nil }
        pingCount += 1
        return RedisCommand("PING")
    }

    /// Something arrived.
    ///
    /// - Throws: ``RedisError`` where the connection is of no use any more.
    mutating func received(_ reply: RedisReply) throws(RedisError) -> Action {
        switch state {
        case .idle:
            throw Self.violation("a reply before any command")
        case .handshaking(var handshake):
            switch handshake.received(reply) {
            case .wait: state = .handshaking(handshake)
            case .done: state = .identifying
            case .failed(let error): throw error
            }
            return .none
        case .identifying:
            if let error = reply.error { throw Self.refused(error) }
            guard case .integer(let clientID) = reply else { throw Self.violation("no number in reply to CLIENT ID") }
            state = .subscribing(clientID: clientID)
            return .none
        case .subscribing(let clientID):
            if let error = reply.error { throw Self.refused(error) }
            guard let parts = reply.array, parts.first?.string == "subscribe" else { return try told(reply) }
            state = .subscribed
            return .ready(clientID: clientID)
        case .subscribed:
            return try told(reply)
        case .closed:
            return .none
        }
    }

    /// The connection is gone or given up.
    mutating func close() {
        state = .closed
    }

    private mutating func told(_ reply: RedisReply) throws(RedisError) -> Action {
        if let error = reply.error { throw Self.refused(error) }
        guard let parts = reply.array, let kind = parts.first?.string else {
            throw Self.violation("neither a message nor an answer to PING")
        }
        switch kind {
        case "message" where parts.count == 3 && parts[1].string == Self.channel:
            switch parts[2] {
            case .null: return .invalidatedEverything
            case .array(let keys):
                let names = keys.compactMap { $0.bytes.map { Array($0) } }
                return names.count == keys.count ? .invalidated(names) : .invalidatedEverything
            // Somebody else published on the reserved channel; believing it costs a few round trips.
            default: return .invalidatedEverything
            }
        case "pong" where pingCount > 0:
            pingCount -= 1
            return .alive
        default:
            throw Self.violation("\"\(kind)\", which nothing asked for")
        }
    }

    private static func violation(_ text: String) -> RedisError {
        RedisError(.protocolViolation, text)
    }

    private static func refused(_ error: RedisServerError) -> RedisError {
        RedisError(.cannotConnect, "the server refuses to tell which keys change: \(error)", underlying: error)
    }
}
