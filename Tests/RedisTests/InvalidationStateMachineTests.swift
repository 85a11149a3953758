import Testing

@testable import Redis

@Suite struct InvalidationStateMachineTests {
    /// A machine as a reference, because expectations cannot change a value.
    private final class Machine {
        private var value: InvalidationStateMachine

        init(_ handshake: Handshake) { value = InvalidationStateMachine(handshake: handshake) }

        func start() -> [RedisCommand] { value.start() }
        func ping() -> RedisCommand? { value.ping() }
        func received(_ reply: RedisReply) throws -> InvalidationStateMachine.Action { try value.received(reply) }
        func close() { value.close() }
    }

    private static let subscribed = RedisReply.array([
        .bulk(Array("subscribe".utf8)), .bulk(Array("__redis__:invalidate".utf8)), .integer(1),
    ])

    private static func message(_ keys: RedisReply, channel: String = "__redis__:invalidate") -> RedisReply {
        .array([.bulk(Array("message".utf8)), .bulk(Array(channel.utf8)), keys])
    }

    private static func pong() -> RedisReply { .array([.bulk(Array("pong".utf8)), .bulk([])]) }

    /// A machine to which the server has said so much.
    private func machine(_ replies: RedisReply...) throws -> Machine {
        let machine = Machine(Handshake(.local, name: "n"))
        _ = machine.start()
        for reply in replies { _ = try machine.received(reply) }
        return machine
    }

    private func open() throws -> Machine {
        try machine(.simple("OK"), .integer(7), Self.subscribed)
    }

    @Test func `it names itself, asks for its number and subscribes in one go`() {
        let machine = Machine(Handshake(.local, name: "n"))
        let sent = machine.start().map { $0.arguments.map { String(decoding: $0, as: UTF8.self) } }
        #expect(
            sent == [["CLIENT", "SETNAME", "n"], ["CLIENT", "ID"], ["SUBSCRIBE", "__redis__:invalidate"]]
        )
        #expect(machine.start().isEmpty)
    }

    @Test func `it is ready when the subscription stands, not before`() throws {
        let machine = Machine(Handshake(.local))
        _ = machine.start()
        #expect(try machine.received(.simple("OK")) == .none)
        #expect(try machine.received(.integer(7)) == .none)
        #expect(machine.ping() == nil)
        #expect(try machine.received(Self.subscribed) == .ready(clientID: 7))
        #expect(machine.ping() != nil)
    }

    @Test func `a message tells which keys have changed`() throws {
        let machine = try open()
        #expect(
            try machine.received(Self.message(.array([.bulk([1, 2]), .bulk([3])]))) == .invalidated([[1, 2], [3]])
        )
    }

    @Test func `null in place of the keys means every key`() throws {
        let machine = try open()
        #expect(try machine.received(Self.message(.null)) == .invalidatedEverything)
    }

    @Test func `keys that cannot be read mean every key`() throws {
        let machine = try open()
        #expect(try machine.received(Self.message(.array([.bulk([1]), .integer(2)]))) == .invalidatedEverything)
        #expect(try machine.received(Self.message(.bulk([1]))) == .invalidatedEverything)
    }

    @Test func `a message before the reply to SUBSCRIBE counts`() throws {
        let machine = try machine(.simple("OK"), .integer(7))
        #expect(try machine.received(Self.message(.array([.bulk([1])]))) == .invalidated([[1]]))
        #expect(try machine.received(Self.message(.null)) == .invalidatedEverything)
        #expect(try machine.received(Self.subscribed) == .ready(clientID: 7))
    }

    @Test func `each answer to PING is one sign of life`() throws {
        let machine = try open()
        #expect(machine.ping()?.name == "PING")
        #expect(machine.ping()?.name == "PING")
        #expect(try machine.received(Self.pong()) == .alive)
        #expect(try machine.received(Self.message(.null)) == .invalidatedEverything)
        #expect(try machine.received(Self.pong()) == .alive)
        #expect(throws: RedisError.self) { try machine.received(Self.pong()) }
    }

    @Test(arguments: [
        RedisReply.simple("OK"), .integer(1), .null, .array([]), message(.null, channel: "other"),
        .error(RedisServerError(line: "ERR no")),
    ])
    func `anything else ends it`(reply: RedisReply) throws {
        let machine = try open()
        #expect(throws: RedisError.self) { try machine.received(reply) }
    }

    @Test func `a user who may not subscribe, or ask for the number, is told so`() throws {
        let refusal = RedisReply.error(RedisServerError(line: "NOPERM no"))
        let subscribing = try machine(.simple("OK"), .integer(7))
        #expect(throws: RedisError.self) { try subscribing.received(refusal) }
        let identifying = try machine(.simple("OK"))
        #expect(throws: RedisError.self) { try identifying.received(refusal) }
    }

    @Test func `what still arrives after the end says nothing`() throws {
        let machine = try open()
        machine.close()
        #expect(try machine.received(Self.message(.null)) == .none)
        #expect(machine.ping() == nil)
    }

    @Test func `a connection that is refused tracking is of no use`() {
        var handshake = Handshake(.local, redirectingTo: .init(clientID: 7, name: "n"))
        let words = handshake.commands.map { $0.arguments.map { String(decoding: $0, as: UTF8.self) } }
        #expect(words.dropFirst().first == ["CLIENT", "TRACKING", "ON", "REDIRECT", "7", "OPTIN"])
        #expect(words.last == ["CLIENT", "LIST", "ID", "7"])
        _ = handshake.received(.simple("OK"))
        guard case .failed(let error) = handshake.received(.error(RedisServerError(line: "ERR no such client"))) else {
            Issue.record("accepted")
            return
        }
        #expect(error.code == .cannotConnect)
    }

    @Test(arguments: ["", "id=7 addr=127.0.0.1:1 name= age=1", "id=7 addr=127.0.0.1:1 name=n2 age=1"])
    func `a connection whose client id is another's at the server is of no use`(list: String) {
        var handshake = Handshake(.local, redirectingTo: .init(clientID: 7, name: "n"))
        _ = handshake.received(.simple("OK"))
        _ = handshake.received(.simple("OK"))
        guard case .failed(let error) = handshake.received(.bulk(Array(list.utf8))) else {
            Issue.record("accepted")
            return
        }
        #expect(error.message.contains("two servers"))
        #expect(error.isRetryable)
    }
}
