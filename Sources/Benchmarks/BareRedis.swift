import CHiredis
import Glibc

/// The blocking API of hiredis called as directly as can be: the floor that a lookup is held against.
final class BareRedis {
    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    /// Commands whose bytes and pointers have been laid out beforehand.
    final class Commands {
        fileprivate var argv: [[UnsafePointer<CChar>?]] = []
        fileprivate var lengths: [[Int]] = []

        var count: Int { argv.count }

        convenience init(_ commands: [[String]]) {
            self.init(words: commands.map { $0.map { Array($0.utf8) } })
        }

        init(words commands: [[[UInt8]]]) {
            for command in commands {
                argv.append(
                    command.map { word in
                        // Owned by this object until it goes, because hiredis takes pointers and copies what they point to.
                        let bytes = UnsafeMutablePointer<CChar>.allocate(capacity: word.count + 1)
                        for (index, byte) in word.enumerated() { bytes[index] = CChar(bitPattern: byte) }
                        return UnsafePointer(bytes)
                    }
                )
                lengths.append(command.map(\.count))
            }
        }

        deinit {
            for command in argv {
                for pointer in command { pointer?.deallocate() }
            }
        }
    }

    /// How long a reply may take: where something has gone wrong, whoever waits is told, and does not wait for ever.
    static let timeLimit: Duration = .seconds(60)

    /// Owned by this object until it goes, because that is how hiredis hands out a connection.
    private let context: UnsafeMutablePointer<redisContext>

    init(_ transport: Transport) throws {
        let context: UnsafeMutablePointer<redisContext>? =
            switch transport {
            case .unix(let path): redisConnectUnix(path)
            case .tcp(let port): redisConnect("127.0.0.1", Int32(port))
            }
        guard let context, context.pointee.err == 0 else { throw Failure(description: "hiredis cannot connect") }
        self.context = context
        let limit = timeval(tv_sec: Int(Self.timeLimit.components.seconds), tv_usec: 0)
        guard redisSetTimeout(context, limit) == REDIS_OK else {
            throw Failure(description: "hiredis sets no time limit: \(reason)")
        }
    }

    deinit {
        redisFree(context)
    }

    /// Sends all commands in one write, and waits for all replies; the last reply goes to `inspect`.
    func roundTrip(
        _ commands: Commands,
        inspect: (UnsafeMutablePointer<redisReply>) throws -> Void = { _ in }
    ) throws {
        try append(commands)
        for index in 0..<commands.count {
            try receive { if index == commands.count - 1 { try inspect($0) } }
        }
    }

    /// Sends all commands with the next wait for a reply.
    func append(_ commands: Commands) throws {
        for index in 0..<commands.count {
            let status = commands.argv[index].withUnsafeMutableBufferPointer { argv in
                redisAppendCommandArgv(context, Int32(argv.count), argv.baseAddress, commands.lengths[index])
            }
            guard status == REDIS_OK else { throw Failure(description: "hiredis cannot write") }
        }
    }

    /// Waits for whatever the server says next.
    func receive(_ inspect: (UnsafeMutablePointer<redisReply>) throws -> Void) throws {
        var reply: UnsafeMutableRawPointer?
        guard redisGetReply(context, &reply) == REDIS_OK, let reply else {
            let limit = Self.timeLimit.components.seconds
            throw Failure(description: "hiredis cannot read, for which it waits \(limit) s at most: \(reason)")
        }
        defer { freeReplyObject(reply) }
        // Bound here, because redisGetReply hands out every reply as void *.
        let typed = reply.assumingMemoryBound(to: redisReply.self)
        guard typed.pointee.type != REDIS_REPLY_ERROR else { throw Failure(description: "Redis refuses a command") }
        try inspect(typed)
    }

    /// What hiredis says went wrong last.
    private var reason: String {
        withUnsafeBytes(of: &context.pointee.errstr) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    /// The process of the server.
    func processIdentifier() throws -> pid_t {
        let line = try text("INFO", "server").split(separator: "\r\n").first { $0.hasPrefix("process_id:") }
        guard let pid = line.flatMap({ pid_t($0.dropFirst(11)) }) else {
            throw Failure(description: "Redis does not tell its process")
        }
        return pid
    }

    /// The text of a reply to one command.
    func text(_ command: String...) throws -> String {
        var text = ""
        try roundTrip(Commands([command])) { reply in
            // Copied here, because the reply is freed when this returns.
            text = String(
                decoding: UnsafeRawBufferPointer(start: reply.pointee.str, count: reply.pointee.len),
                as: UTF8.self
            )
        }
        return text
    }

    /// The server's time in microseconds since 1970.
    func time() throws -> Int64 {
        var time: Int64?
        try roundTrip(Commands([["TIME"]])) { reply in
            // Read here, because the reply is freed when this returns.
            let parts = (0..<reply.pointee.elements).compactMap { index in
                reply.pointee.element[index].flatMap { Int64(String(cString: $0.pointee.str)) }
            }
            time = parts.count == 2 ? parts[0] * 1_000_000 + parts[1] : nil
        }
        guard let time else { throw Failure(description: "Redis does not tell the time") }
        return time
    }

    /// How many bytes the server has received since it was started.
    func bytesReceived() throws -> Int {
        let info = try text("INFO", "stats")
        let name = "total_net_input_bytes:"
        guard let start = info.firstRange(of: name)?.upperBound, let bytes = Int(info[start...].prefix { $0.isNumber })
        else { throw Failure(description: "Redis does not tell \(name)") }
        return bytes
    }
}

/// The way to the server.
enum Transport {
    case unix(path: String)
    case tcp(port: Int)

    var name: String {
        switch self {
        case .unix: "unix socket"
        case .tcp: "TCP"
        }
    }
}
