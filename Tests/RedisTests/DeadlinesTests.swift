import NIOCore
import NIOEmbedded
import Testing

@testable import Redis

struct DeadlinesTests {
    private let loop = EmbeddedEventLoop()

    /// What was sent, and what expired, in order.
    private final class Sink {
        var requests: [Request] = []
        var expired: [TimeAmount] = []

        func deadlines(on loop: EmbeddedEventLoop) -> Deadlines {
            Deadlines(eventLoop: loop) { [self] in
                requests.filter(\.isPending)
            } expire: { [self] request in
                expired.append(request.timeLimit)
                request.complete(.success([]))
            }
        }

        func request(_ limit: TimeAmount) -> Request {
            let request = Request(commands: [], byteBound: 0, timeLimit: limit)
            _ = request.begin { _ in }
            requests.append(request)
            return request
        }
    }

    private let sink = Sink()

    @Test func `each request expires at its own time, in whichever order they came`() {
        let deadlines = sink.deadlines(on: loop)
        for seconds in [3, 1, 2, 1] as [Int64] { deadlines.watch(sink.request(.seconds(seconds))) }
        loop.advanceTime(by: .milliseconds(999))
        #expect(sink.expired.isEmpty)
        loop.advanceTime(by: .milliseconds(1))
        #expect(sink.expired == [.seconds(1), .seconds(1)])
        loop.advanceTime(by: .seconds(2))
        #expect(sink.expired == [.seconds(1), .seconds(1), .seconds(2), .seconds(3)])
    }

    @Test func `a request that is done does not expire, and the next one still does`() {
        let deadlines = sink.deadlines(on: loop)
        let done = sink.request(.seconds(1))
        deadlines.watch(done)
        loop.advanceTime(by: .milliseconds(500))
        deadlines.watch(sink.request(.seconds(2)))
        done.complete(.success([]))
        loop.advanceTime(by: .milliseconds(1_999))
        #expect(sink.expired.isEmpty)
        loop.advanceTime(by: .milliseconds(1))
        #expect(sink.expired == [.seconds(2)])
    }

    @Test func `the timer keeps no request`() {
        weak var kept: Request?
        let deadlines = Deadlines(eventLoop: loop) {
            []
        } expire: { _ in
        }
        do {
            let request = Request(commands: [], byteBound: 0, timeLimit: .seconds(1))
            deadlines.watch(request)
            kept = request
        }
        #expect(kept == nil)
    }
}
