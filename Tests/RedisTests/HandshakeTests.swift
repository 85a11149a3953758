import Testing

@testable import Redis

@Suite struct HandshakeTests {
    private func outcome(
        _ replies: String...,
        change: (inout RedisConfiguration) -> Void = { _ in }
    ) -> RedisError? {
        var configuration = RedisConfiguration.local
        change(&configuration)
        var handshake = Handshake(configuration)
        for reply in replies {
            let value: RedisReply = reply == "OK" ? .simple("OK") : .error(RedisServerError(line: reply))
            if case .failed(let error) = handshake.received(value) {
                return error
            }
        }
        return nil
    }

    @Test func `user, password and database are sent before the name`() {
        var configuration = RedisConfiguration.local
        configuration.username = "ada"
        configuration.password = "secret"
        configuration.database = 3
        let words = Handshake(configuration).commands.map { $0.arguments.map { String(decoding: $0, as: UTF8.self) } }
        #expect(words == [["AUTH", "ada", "secret"], ["SELECT", "3"], ["CLIENT", "SETNAME", "freshet"]])
    }

    @Test func `a password alone is that of the default user`() {
        var configuration = RedisConfiguration.local
        configuration.password = "secret"
        #expect(Handshake(configuration).commands.first?.arguments.count == 2)
    }

    @Test func `it is done with the last reply`() {
        var configuration = RedisConfiguration.local
        configuration.database = 3
        var handshake = Handshake(configuration)
        guard case .wait = handshake.received(.simple("OK")), case .done = handshake.received(.simple("OK")) else {
            Issue.record("two replies, then done")
            return
        }
    }

    @Test func `a wrong password is said without the password`() {
        let error = outcome("WRONGPASS invalid username-password pair or user is disabled.") {
            $0.username = "ada"
            $0.password = "hunter2"
        }
        #expect(error?.code == .authenticationFailed)
        #expect(error?.message.contains("redis://localhost:6379") == true)
        #expect(error?.message.contains("user \"ada\"") == true)
        #expect(error?.message.contains("hunter2") == false)
        #expect(error?.isRetryable == false)
    }

    @Test func `a missing password and a superfluous one are said as such`() {
        let missing = outcome("NOAUTH Authentication required.")
        #expect(missing?.code == .authenticationFailed)
        #expect(missing?.message.contains("wants a password and the configuration has none") == true)
        let superfluous = outcome("ERR AUTH <password> called without any password configured") { $0.password = "x" }
        #expect(superfluous?.code == .authenticationFailed)
    }

    @Test func `a database that is not there is named`() {
        let error = outcome("ERR DB index is out of range") { $0.database = 99 }
        #expect(error?.code == .cannotConnect)
        #expect(error?.message.contains("database 99") == true)
    }

    @Test(arguments: ["ERR unknown command 'CLIENT'", "NOPERM this user has no permissions to run 'client|setname'"])
    func `a server that refuses the name serves all the same`(refusal: String) {
        #expect(outcome(refusal) == nil)
    }

    @Test(arguments: ["ERR max number of clients reached", "DENIED Redis is running in protected mode. Then a page."])
    func `a server that refuses the connection is named with its reason`(refusal: String) {
        for error in [outcome(refusal), outcome(refusal) { $0.password = "x" }] {
            #expect(error?.code == .cannotConnect)
            #expect(error?.message.hasPrefix("cannot use redis://localhost:6379: ") == true)
            #expect(error?.message.contains("page") == false)
            #expect(error?.isRetryable == true)
        }
    }
}
