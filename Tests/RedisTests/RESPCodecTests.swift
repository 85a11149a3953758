import CHiredis
import NIOCore
import Testing

@testable import Redis

@Suite struct RESPCodecTests {
    private func decode(_ text: String, pieces: Int = .max, limits: ReplyLimits = ReplyLimits()) throws -> [RedisReply]
    {
        var decoder = RESPDecoder(limits: limits)
        var replies: [RedisReply] = []
        var buffer = ByteBuffer(string: text)
        while let piece = buffer.readSlice(length: min(pieces, buffer.readableBytes)), piece.readableBytes > 0 {
            try decoder.decode(piece) { replies.append($0) }
        }
        return replies
    }

    private func failure(_ text: String, limits: ReplyLimits = ReplyLimits()) -> RedisError? {
        do {
            _ = try decode(text, limits: limits)
            return nil
        } catch {
            return error as? RedisError
        }
    }

    private func encoded(_ commands: [RedisCommand]) throws -> ByteBuffer {
        var encoder = RESPEncoder()
        encoder.encode(commands, bound: try RESPEncoder.bound(of: commands))
        return encoder.buffer
    }

    @Test func `a command is an array of bulk strings`() throws {
        let set = RedisCommand("SET", "k\u{e9}y", .bytes([0, 13, 10]), -7, "")
        let expected = "*5\r\n$3\r\nSET\r\n$4\r\nk\u{e9}y\r\n$3\r\n\0\r\n\r\n$2\r\n-7\r\n$0\r\n\r\n*1\r\n$4\r\nPING\r\n"
        #expect(try String(buffer: encoded([set, RedisCommand("PING")])) == expected)
    }

    /// What hiredis writes for a command.
    private func formattedByHiredis(_ arguments: [[UInt8]]) -> [UInt8] {
        var formatted: sds?
        // Pointers into one array that lives as long as the call, because hiredis copies what they point to.
        let storage = Array(arguments.joined()) + [0]
        let length = storage.withUnsafeBytes { bytes in
            var start = 0
            var pointers = arguments.map { argument -> UnsafePointer<CChar>? in
                defer { start += argument.count }
                return bytes.baseAddress.map { ($0 + start).assumingMemoryBound(to: CChar.self) }
            }
            return redisFormatSdsCommandArgv(&formatted, Int32(pointers.count), &pointers, arguments.map(\.count))
        }
        defer { redisFreeSdsCommand(formatted) }
        return Array(UnsafeRawBufferPointer(start: formatted, count: Int(length)))
    }

    @Test func `what is written is what hiredis writes, to the byte`() throws {
        for count in [1, 2, 3, 9, 10, 11, 99, 100, 101, 1000] {
            let arguments = (0..<count).map { index in
                (0..<[0, 1, 9, 10, 99, 100, 1_000][index % 7]).map { UInt8(truncatingIfNeeded: $0 + index) }
            }
            var command = RedisCommand("COMMAND")
            for argument in arguments { command.append(.bytes(argument)) }
            let words = [Array("COMMAND".utf8)] + arguments
            #expect(try Array(encoded([command]).readableBytesView) == formattedByHiredis(words))
            #expect(command.arguments == words)
        }
    }

    @Test func `a command that is put together is the one that is written out`() {
        var end = RedisArguments("g")
        end.append("e:", followedBy: "17")
        let command = RedisCommand(RedisArguments("HMGET"), key: "freshet:", "1", end)
        #expect(command == RedisCommand("HMGET", "freshet:1", "g", "e:17"))
        #expect(command.name == "HMGET")
    }

    @Test func `what is encoded decodes to its arguments`() throws {
        let command = RedisCommand("EVAL", "return 1", 0, .bytes(Array(0...255)), .init(UInt64.max), "")
        var decoder = RESPDecoder()
        var replies: [RedisReply] = []
        try decoder.decode(encoded([command])) { replies.append($0) }
        #expect(replies == [.array(command.arguments.map { .bulk($0) })])
        #expect(command.arguments.count == 6)
        #expect(command.name == "EVAL")
    }

    static let everything =
        "+OK\r\n-WRONGTYPE Operation against\r\n:-9223372036854775808\r\n$0\r\n\r\n$-1\r\n*-1\r\n*0\r\n"
        + "$4\r\na\r\nb\r\n*3\r\n:1\r\n*2\r\n$1\r\nx\r\n*0\r\n-NOSCRIPT No matching script.\r\n"

    @Test(arguments: [1, 2, 3, 5, 7, 11, 1000])
    func `every type of reply is decoded, however it is cut`(pieces: Int) throws {
        #expect(
            try decode(Self.everything, pieces: pieces) == [
                .simple("OK"),
                .error(RedisServerError(code: .wrongType, message: "Operation against")),
                .integer(.min),
                .bulk([]),
                .null,
                .null,
                .array([]),
                .bulk(Array("a\r\nb".utf8)),
                .array([
                    .integer(1),
                    .array([.bulk(Array("x".utf8)), .array([])]),
                    .error(RedisServerError(code: .noScript, message: "No matching script.")),
                ]),
            ]
        )
    }

    @Test func `replies larger than a slice come whole`() throws {
        let value = String(repeating: "v", count: 100_000)
        let text = "*3\r\n$100000\r\n\(value)\r\n:1\r\n$100000\r\n\(value)\r\n+OK\r\n"
        let bulk = RedisReply.bulk(Array(value.utf8))
        #expect(try decode(text) == [.array([bulk, .integer(1), bulk]), .simple("OK")])
    }

    @Test func `strings without a byte are read wherever they stand`() throws {
        let empty = RedisReply.bulk([UInt8]())
        #expect(try decode("*2\r\n$0\r\n\r\n$0\r\n\r\n") == [.array([empty, empty])])
        let long = String(repeating: "v", count: 20_000)
        let text = "*3\r\n$0\r\n\r\n$20000\r\n\(long)\r\n$0\r\n\r\n"
        #expect(try decode(text, pieces: 7) == [.array([empty, .bulk(Array(long.utf8)), empty])])
    }

    @Test func `elements stay what they are when others of the same reply are gone`() throws {
        let texts = (0..<5_000).map { "text \($0)" }
        let inner = texts.map { "*2\r\n$\($0.utf8.count)\r\n\($0)\r\n:\($0.utf8.count)\r\n" }.joined()
        var kept: [ArraySlice<UInt8>] = []
        for element in try #require(try decode("*5000\r\n\(inner)", pieces: 1_000).first?.array) {
            let parts = try #require(element.array)
            kept.append(try #require(parts.first?.bytes))
            #expect(parts.count == 2 && parts[1].int64 == parts[0].bytes.map { Int64($0.count) })
        }
        #expect(kept.map { String(decoding: $0, as: UTF8.self) } == texts)
    }

    @Test(arguments: ["HTTP/1.1 400 Bad Request\r\n", "\u{15}\u{03}\u{03}", "*x\r\n", ":12x\r\n", "*-2\r\n"])
    func `what is no reply is a protocol violation`(text: String) {
        #expect(failure(text)?.code == .protocolViolation)
    }

    @Test func `an array header that claims too much is refused before memory is taken`() {
        #expect(failure("*2147483647\r\n")?.message == "a reply of more than 4194304 elements")
        var limits = ReplyLimits()
        limits.elements = 3
        #expect(failure("*2\r\n*1\r\n:1\r\n*1\r\n", limits: limits)?.code == .protocolViolation)
        #expect(failure("*2\r\n:1\r\n:1\r\n*3\r\n:1\r\n:1\r\n:1\r\n", limits: limits) == nil)
    }

    @Test func `a reply of too many bytes is refused while it arrives`() {
        var limits = ReplyLimits()
        limits.bytes = 20_000
        let piece = String(repeating: "v", count: 50_000)
        #expect(failure("$900000000\r\n\(piece)", limits: limits)?.message == "a reply of more than 20000 bytes")
    }

    @Test func `arrays nested too deep are refused`() {
        #expect(failure(String(repeating: "*1\r\n", count: 20))?.code == .protocolViolation)
    }

    @Test func `a decoder in the middle of a reply can be dropped`() throws {
        #expect(try decode("*2\r\n*3\r\n$5\r\nab") == [])
    }

    @Test func `an error without a code of capitals is a generic one`() {
        #expect(RedisServerError(line: "ERR no such key").message == "no such key")
        #expect(RedisServerError(line: "something odd") == RedisServerError(code: .generic, message: "something odd"))
        #expect(RedisServerError(line: "OOM").description == "OOM")
        #expect(RedisServerError(line: "READONLY You can't write").code == "READONLY")
    }

    @Test func `the helpers of a reply read what it holds`() throws {
        #expect(RedisReply.bulk(Array("42".utf8)).int64 == 42)
        #expect(RedisReply.integer(7).int64 == 7)
        for text in [
            "0", "-1", "999999999999999999", "9223372036854775807", "-9223372036854775808", "+5", "", "-", "1x",
        ] {
            #expect(RedisReply.bulk(Array(text.utf8)).int64 == Int64(text), "\(text)")
        }
        #expect(RedisReply.bulk(Array("9223372036854775808".utf8)).int64 == nil)
        #expect(RedisReply.bulk(Array("ä\u{FFFD}".utf8)).string == "ä\u{FFFD}")
        #expect(RedisReply.bulk([0xff]).string == nil)
        #expect(RedisReply.bulk([0xff]).bytes == [0xff])
        #expect(RedisReply.simple("OK").string == "OK")
        #expect(RedisReply.array([.null]).array?.first?.isNull == true)
        #expect(throws: RedisServerError.self) {
            _ = try RedisReply.error(RedisServerError(code: .loading, message: "")).get()
        }
    }
}
