import CHiredis

/// Sees keys change the moment that Redis has changed them.
///
/// It has two connections: one on which Redis tells of every key with a prefix, and one that asked for that. It blocks the thread that
/// waits.
final class InvalidationObserver {
    private let listener: BareRedis
    private let asker: BareRedis
    private var seen: Set<String> = []

    /// - Parameter prefix: Of the keys.
    init(path: String, prefix: String) throws {
        listener = try BareRedis(.unix(path: path))
        asker = try BareRedis(.unix(path: path))
        var id: Int64 = 0
        try listener.roundTrip(BareRedis.Commands([["CLIENT", "ID"]])) { id = $0.pointee.integer }
        // Its reply is a message like those that follow.
        try listener.roundTrip(BareRedis.Commands([["SUBSCRIBE", "__redis__:invalidate"]]))
        try asker.roundTrip(
            BareRedis.Commands([["CLIENT", "TRACKING", "ON", "REDIRECT", "\(id)", "BCAST", "PREFIX", prefix]])
        )
    }

    private let ping = BareRedis.Commands([["PING"]])

    /// Forgets what Redis has told so far.
    func forget() throws {
        try listener.append(ping)
        var isHeard = false
        // "pong" and a text; what was told before comes first.
        while !isHeard { try listener.receive { isHeard = $0.pointee.elements == 2 } }
        seen = []
    }

    /// Waits until each of some keys has changed since the last wait ended.
    func wait(for keys: Set<String>) throws {
        while !keys.isSubset(of: seen) {
            try listener.receive { message in
                // "message", the channel, and the keys; no keys where everything was flushed.
                guard message.pointee.elements == 3, let keys = message.pointee.element[2] else { return }
                for place in 0..<keys.pointee.elements {
                    if let key = keys.pointee.element[place] { seen.insert(String(cString: key.pointee.str)) }
                }
            }
        }
        seen.subtract(keys)
    }
}
