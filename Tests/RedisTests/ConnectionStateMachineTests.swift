import Testing

@testable import Redis

@Suite struct ConnectionStateMachineTests {
    private typealias Machine = ConnectionStateMachine<String>

    private func readyMachine() -> Machine {
        var machine = Machine(handshake: Handshake(.local))
        #expect(machine.start().map(\.name) == ["CLIENT"])
        #expect(machine.received(.simple("OK")).isBecomeReady)
        return machine
    }

    @Test func `nothing is accepted before the handshake is through`() {
        var machine = Machine(handshake: Handshake(.local))
        #expect(!machine.isReady)
        #expect(machine.submit("a", replyCount: 1) == nil)
        _ = machine.start()
        #expect(machine.submit("a", replyCount: 1) == nil)
        _ = machine.received(.simple("OK"))
        #expect(machine.isReady)
        #expect(machine.submit("a", replyCount: 1) == 0)
    }

    @Test func `the handshake is sent once`() {
        var machine = readyMachine()
        #expect(machine.start().isEmpty)
        #expect(machine.isReady)
    }

    @Test func `a handshake that fails yields its error`() {
        var configuration = RedisConfiguration.local
        configuration.password = "x"
        configuration.database = 2
        var machine = Machine(handshake: Handshake(configuration))
        #expect(machine.start().map(\.name) == ["AUTH", "SELECT", "CLIENT"])
        let action = machine.received(.error(RedisServerError(line: "WRONGPASS invalid username-password pair")))
        #expect(action.failure?.code == .authenticationFailed)
    }

    @Test func `replies go to callers in the order of their pipelines`() {
        var machine = readyMachine()
        #expect(machine.submit("a", replyCount: 2) == 0)
        #expect(machine.submit("b", replyCount: 1) == 1)
        #expect(machine.received(.integer(1)).isNone)
        #expect(machine.received(.integer(2)).completed == .init("a", [.integer(1), .integer(2)]))
        #expect(machine.submit("c", replyCount: 1) == 2)
        #expect(machine.received(.integer(3)).completed == .init("b", [.integer(3)]))
        #expect(machine.received(.integer(4)).completed == .init("c", [.integer(4)]))
        #expect(machine.waitingCount == 0)
    }

    @Test func `an error reply is a reply`() {
        var machine = readyMachine()
        _ = machine.submit("a", replyCount: 1)
        let error = RedisReply.error(RedisServerError(code: .outOfMemory, message: "full"))
        #expect(machine.received(error).completed == .init("a", [error]))
    }

    @Test(arguments: 0...2)
    func `an abandoned place keeps the others in step, however many replies had come`(arrived: Int) {
        var machine = readyMachine()
        let place = machine.submit("a", replyCount: 3)
        _ = machine.submit("b", replyCount: 1)
        for _ in 0..<arrived {
            #expect(machine.received(.null).isNone)
        }
        machine.abandon(place ?? 99)
        for _ in arrived..<3 {
            #expect(machine.received(.null).isNone)
        }
        #expect(machine.received(.integer(7)).completed == .init("b", [.integer(7)]))
    }

    @Test func `a place in the middle and one behind completed ones are found`() {
        var machine = readyMachine()
        let places = ["a", "b", "c"].map { machine.submit($0, replyCount: 1) }
        _ = machine.received(.integer(1))
        machine.abandon(places[1] ?? 99)
        #expect(machine.received(.integer(2)).isNone)
        #expect(machine.received(.integer(3)).completed == .init("c", [.integer(3)]))
    }

    @Test func `abandoning what has been answered changes nothing`() {
        var machine = readyMachine()
        let place = machine.submit("a", replyCount: 1)
        _ = machine.received(.integer(1))
        _ = machine.submit("b", replyCount: 1)
        machine.abandon(place ?? 99)
        machine.abandon(77)
        #expect(machine.received(.integer(2)).completed == .init("b", [.integer(2)]))
    }

    @Test func `a reply that nothing asked for is a protocol violation`() {
        var machine = readyMachine()
        #expect(machine.received(.simple("OK")).failure?.code == .protocolViolation)
    }

    @Test func `what arrives before the handshake is a refusal or a violation`() {
        var machine = Machine(handshake: Handshake(.local))
        let refusal = RedisReply.error(RedisServerError(line: "ERR max number of clients reached"))
        #expect(machine.received(refusal).failure?.code == .cannotConnect)
        #expect(machine.received(.null).failure?.code == .protocolViolation)
    }

    @Test func `closing yields the callers that were left, once and in order`() {
        var machine = readyMachine()
        _ = machine.submit("a", replyCount: 1)
        let place = machine.submit("b", replyCount: 1)
        _ = machine.submit("c", replyCount: 2)
        machine.abandon(place ?? 99)
        _ = machine.received(.null)
        #expect(machine.close() == ["c"])
        #expect(machine.close() == [])
        #expect(!machine.isReady)
        #expect(machine.waitingCount == 0)
    }

    @Test func `nothing happens after closing`() {
        var machine = readyMachine()
        _ = machine.submit("a", replyCount: 1)
        _ = machine.close()
        #expect(machine.received(.null).isNone)
        #expect(machine.submit("b", replyCount: 1) == nil)
        #expect(machine.start().isEmpty)
        machine.abandon(0)
    }

    @Test func `closing before or during the handshake leaves nothing`() {
        var machine = Machine(handshake: Handshake(.local))
        #expect(machine.close() == [])
        #expect(machine.start().isEmpty)
        var other = Machine(handshake: Handshake(.local))
        _ = other.start()
        #expect(other.close() == [])
        #expect(other.received(.simple("OK")).isNone)
        #expect(!other.isReady)
    }
}

extension RedisConfiguration {
    static let local = RedisConfiguration(endpoint: .tcp(host: "localhost", port: 6379))
}

private struct Completed: Equatable {
    var caller: String
    var replies: [RedisReply]

    init(_ caller: String, _ replies: [RedisReply]) {
        self.caller = caller
        self.replies = replies
    }
}

extension ConnectionStateMachine<String>.ReplyAction {
    fileprivate var isNone: Bool {
        if case .none = self { true } else { false }
    }

    fileprivate var isBecomeReady: Bool {
        if case .becomeReady = self { true } else { false }
    }

    fileprivate var failure: RedisError? {
        if case .fail(let error) = self { error } else { nil }
    }

    fileprivate var completed: Completed? {
        if case .complete(let caller, let replies) = self { Completed(caller, replies) } else { nil }
    }
}
