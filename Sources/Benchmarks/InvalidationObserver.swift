import CHiredis
import Glibc

/// Sees keys change the moment that Redis has changed them.
///
/// It has two connections: one on which Redis tells of every key with a prefix, and one that asked for that. It blocks the thread that
/// waits.
final class InvalidationObserver {
    /// Owned by this object until it goes, because that is how hiredis hands out a connection.
    private let listener: UnsafeMutablePointer<redisContext>
    private let asker: BareRedis
    private var seen: Set<String> = []

    /// - Parameter prefix: Of the keys.
    init(path: String, prefix: String) throws {
        guard let listener = redisConnectUnix(path), listener.pointee.err == 0 else {
            throw BareRedis.Failure(description: "hiredis cannot connect")
        }
        self.listener = listener
        asker = try BareRedis(.unix(path: path))
        let id = try Self.ask(listener, "CLIENT ID") { $0.pointee.integer }
        // Its reply is a message like those that follow.
        try Self.ask(listener, "SUBSCRIBE __redis__:invalidate") { _ in }
        try asker.roundTrip(
            BareRedis.Commands([["CLIENT", "TRACKING", "ON", "REDIRECT", "\(id)", "BCAST", "PREFIX", prefix]])
        )
    }

    deinit {
        redisFree(listener)
    }

    /// Waits until each of some keys has changed since the last wait ended.
    func wait(for keys: Set<String>) throws {
        while !keys.isSubset(of: seen) {
            try Self.receive(listener) { message in
                // "message", the channel, and the keys; no keys where everything was flushed.
                guard message.pointee.elements == 3, let keys = message.pointee.element[2] else { return }
                for place in 0..<keys.pointee.elements {
                    if let key = keys.pointee.element[place] { seen.insert(String(cString: key.pointee.str)) }
                }
            }
        }
        seen.subtract(keys)
    }

    @discardableResult
    private static func ask<Result>(
        _ context: UnsafeMutablePointer<redisContext>,
        _ command: String,
        _ inspect: (UnsafeMutablePointer<redisReply>) -> Result
    ) throws -> Result {
        let words = command.split(separator: " ").map { strdup(String($0)) }
        defer { for word in words { free(word) } }
        var pointers = words.map { UnsafePointer($0) }
        guard redisAppendCommandArgv(context, Int32(pointers.count), &pointers, nil) == REDIS_OK else {
            throw BareRedis.Failure(description: "hiredis cannot write")
        }
        return try receive(context, inspect)
    }

    private static func receive<Result>(
        _ context: UnsafeMutablePointer<redisContext>,
        _ inspect: (UnsafeMutablePointer<redisReply>) throws -> Result
    ) throws -> Result {
        var reply: UnsafeMutableRawPointer?
        guard redisGetReply(context, &reply) == REDIS_OK, let reply else {
            throw BareRedis.Failure(description: "hiredis cannot read")
        }
        defer { freeReplyObject(reply) }
        // Bound here, because redisGetReply hands out every reply as void *.
        let typed = reply.assumingMemoryBound(to: redisReply.self)
        guard typed.pointee.type != REDIS_REPLY_ERROR else {
            throw BareRedis.Failure(description: "Redis refuses a command: \(String(cString: typed.pointee.str))")
        }
        return try inspect(typed)
    }
}
