import NIOCore
import Testing

@testable import Redis

@Suite struct ReconnectionStateMachineTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)
    private let error = RedisError(.cannotConnect, "refused")

    @Test func `the first caller connects, the others join, and then all send`() {
        var machine = ReconnectionStateMachine()
        #expect(machine.demand(now: start).attempt == 1)
        #expect(machine.demand(now: start).isJoin)
        #expect(machine.isConnecting(1))
        #expect(machine.connected(1) == true)
        #expect(machine.demand(now: start).isSend)
    }

    @Test func `after a failure callers fail at once until the pause is over`() {
        var machine = ReconnectionStateMachine()
        _ = machine.demand(now: start)
        #expect(machine.failed(1, error, now: start, jitter: 0) == true)
        #expect(machine.demand(now: start).failure?.message == "refused")
        #expect(machine.demand(now: start + .milliseconds(249)).failure != nil)
        #expect(machine.demand(now: start + .milliseconds(250)).attempt == 2)
    }

    @Test func `the pause grows to its cap and stays between its bounds`() {
        let longest = (1...70).map { ReconnectionStateMachine.pause(afterFailures: $0, jitter: 1) }
        #expect(longest.prefix(5) == [.milliseconds(500), .seconds(1), .seconds(2), .seconds(4), .seconds(5)])
        #expect(longest.dropFirst(5).allSatisfy { $0 == .seconds(5) })
        #expect(
            (1...70).allSatisfy { ReconnectionStateMachine.pause(afterFailures: $0, jitter: 0) == .milliseconds(250) }
        )
        #expect(ReconnectionStateMachine.pause(afterFailures: 2, jitter: 0.5) == .milliseconds(625))
    }

    @Test func `a connection that had served is replaced at once`() {
        var machine = ReconnectionStateMachine()
        _ = machine.demand(now: start)
        _ = machine.connected(1)
        machine.served(1)
        #expect(machine.failed(1, error, now: start, jitter: 1) == true)
        #expect(machine.demand(now: start).attempt == 2)
    }

    @Test func `a connection that never served is backed off from, longer each time`() {
        var machine = ReconnectionStateMachine()
        var now = start
        for failures in 1...3 {
            guard let attempt = machine.demand(now: now).attempt else {
                Issue.record("no attempt")
                return
            }
            _ = machine.connected(attempt)
            #expect(machine.failed(attempt, error, now: now, jitter: 1) == true)
            #expect(machine.failures == failures)
            #expect(machine.demand(now: now).failure != nil)
            now = now + ReconnectionStateMachine.pause(afterFailures: failures, jitter: 1)
        }
    }

    @Test func `serving ends the series of failures`() {
        var machine = ReconnectionStateMachine()
        _ = machine.demand(now: start)
        _ = machine.failed(1, error, now: start, jitter: 0)
        _ = machine.demand(now: start + .seconds(1))
        _ = machine.connected(2)
        #expect(machine.failures == 1)
        machine.served(2)
        #expect(machine.failures == 0)
    }

    @Test func `news of an attempt that was given up is ignored`() {
        var machine = ReconnectionStateMachine()
        _ = machine.demand(now: start)
        _ = machine.failed(1, error, now: start, jitter: 0)
        #expect(machine.connected(1) == false)
        #expect(machine.failed(1, error, now: start, jitter: 0) == false)
        _ = machine.demand(now: start + .seconds(1))
        #expect(machine.connected(1) == false)
        #expect(machine.failed(1, error, now: start, jitter: 0) == false)
        #expect(machine.isConnecting(2))
        _ = machine.connected(2)
        machine.served(1)
        #expect(machine.failed(1, error, now: start, jitter: 0) == false)
        #expect(machine.demand(now: start).isSend)
    }

    @Test func `a closed machine stays closed`() {
        var machine = ReconnectionStateMachine()
        _ = machine.demand(now: start)
        #expect(machine.close() == true)
        #expect(machine.close() == false)
        #expect(machine.connected(1) == false)
        #expect(machine.failed(1, error, now: start, jitter: 0) == false)
        machine.served(1)
        #expect(machine.isClosed)
        guard case .refuse = machine.demand(now: start) else {
            Issue.record("a closed machine refuses")
            return
        }
    }
}

extension ReconnectionStateMachine.DemandAction {
    fileprivate var attempt: UInt64? {
        if case .connect(let attempt) = self { attempt } else { nil }
    }

    fileprivate var isJoin: Bool {
        if case .join = self { true } else { false }
    }

    fileprivate var isSend: Bool {
        if case .send = self { true } else { false }
    }

    fileprivate var failure: RedisError? {
        if case .fail(let error) = self { error } else { nil }
    }
}
