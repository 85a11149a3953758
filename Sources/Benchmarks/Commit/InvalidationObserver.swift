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

    /// Some keys have not changed while they were waited for.
    struct Unchanged: Error, CustomStringConvertible {
        var keys: Set<String>
        /// Why nobody waits any longer.
        var reason: String

        var description: String {
            let some = keys.sorted().prefix(5).joined(separator: " ") + (keys.count > 5 ? " …" : "")
            return "Redis has not told that \(keys.count) keys have changed, \(some): \(reason)"
        }
    }

    /// Waits until each of some keys has changed since the last wait ended.
    ///
    /// - Throws: ``Unchanged`` where that takes longer than ``BareRedis/timeLimit``, or Redis is gone.
    func wait(for keys: Set<String>) throws {
        let end = ContinuousClock.now + BareRedis.timeLimit
        while !keys.isSubset(of: seen) {
            // Also where Redis tells of others' keys again and again.
            guard .now < end else { throw Unchanged(keys: keys.subtracting(seen), reason: "the time is up") }
            do { try hear() } catch { throw Unchanged(keys: keys.subtracting(seen), reason: "\(error)") }
        }
        seen.subtract(keys)
    }

    /// Notes the keys of the next message.
    private func hear() throws {
        try listener.receive { message in
            // "message", the channel, and the keys; no keys where everything was flushed.
            guard message.pointee.elements == 3, let keys = message.pointee.element[2] else { return }
            for place in 0..<keys.pointee.elements {
                if let key = keys.pointee.element[place] { seen.insert(String(cString: key.pointee.str)) }
            }
        }
    }
}
