import NIOCore
import NIOEmbedded
import Testing

@testable import Redis

struct DeadlinesTests {
    private let loop = EmbeddedEventLoop()

    /// What expired, in order.
    private final class Expired {
        var limits: [TimeAmount] = []
    }

    private func request(_ limit: TimeAmount) -> Request {
        let request = Request(bytes: ByteBuffer(), replyCount: 1, timeLimit: limit)
        _ = request.begin { _ in }
        return request
    }

    @Test func `each request expires at its own time, in whichever order they came`() {
        let expired = Expired()
        let deadlines = Deadlines(eventLoop: loop) { expired.limits.append($0.timeLimit) }
        for seconds in [3, 1, 2, 1] as [Int64] { deadlines.watch(request(.seconds(seconds))) }
        loop.advanceTime(by: .milliseconds(999))
        #expect(expired.limits.isEmpty)
        loop.advanceTime(by: .milliseconds(1))
        #expect(expired.limits == [.seconds(1), .seconds(1)])
        loop.advanceTime(by: .seconds(2))
        #expect(expired.limits == [.seconds(1), .seconds(1), .seconds(2), .seconds(3)])
    }

    @Test func `a request that is done does not expire, and the next one still does`() {
        let expired = Expired()
        let deadlines = Deadlines(eventLoop: loop) { expired.limits.append($0.timeLimit) }
        let done = request(.seconds(1))
        deadlines.watch(done)
        loop.advanceTime(by: .milliseconds(500))
        deadlines.watch(request(.seconds(2)))
        done.complete(.success([]))
        loop.advanceTime(by: .milliseconds(1_999))
        #expect(expired.limits.isEmpty)
        loop.advanceTime(by: .milliseconds(1))
        #expect(expired.limits == [.seconds(2)])
    }

    @Test func `the timer keeps nothing that is done`() {
        weak var kept: Request?
        let deadlines = Deadlines(eventLoop: loop) { _ in }
        do {
            let done = request(.seconds(1))
            deadlines.watch(done)
            done.complete(.success([]))
            kept = done
        }
        #expect(kept == nil)
    }
}
