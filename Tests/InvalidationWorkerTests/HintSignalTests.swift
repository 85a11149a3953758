import NIOConcurrencyHelpers
import Surroundings
import Testing

@testable import InvalidationWorker

/// When the lane's news end the pump's wait.
@Suite(.timeLimit(.minutes(1))) struct HintSignalTests {
    private let signal = HintSignal()

    /// How long a wait takes.
    private func wait(until rested: ContinuousClock.Instant = .now) async -> Duration {
        let duration = await ContinuousClock().measure { await signal.wait(until: rested, in: .system) }
        signal.clear()
        return duration
    }

    @Test func `what is bumped already waits a little for more`() async {
        signal.raise(.soon)
        #expect(await wait() >= .milliseconds(10))
    }

    @Test(arguments: [(0, 0), (1, 9), (4, 36), (5, 40), (60_000, 40)])
    func `short passes take a tenth of the time, and none rests for more than 40 ms`(pass: Int, rest: Int) {
        #expect(HintSignal.rest(after: .milliseconds(pass)) == .milliseconds(rest))
    }

    @Test func `what is bumped already waits until passes have rested`() async {
        signal.raise(.soon)
        #expect(await wait(until: .now + .milliseconds(30)) >= .milliseconds(29))
    }

    @Test func `what is not bumped yet waits for no rest`() async {
        signal.raise(.now)
        #expect(await wait(until: .now + .seconds(3_600)) < .seconds(30))
        signal.raise(.soon)
        async let waited = wait(until: .now + .seconds(3_600))
        signal.raise(.now)
        #expect(await waited < .seconds(30))
    }

    @Test func `what is not bumped yet waits for nothing`() async {
        signal.raise(.soon)
        signal.raise(.now)
        // On a busy machine a wait of 10 ms can be as short as none is long: that none was begun shows in the least of some.
        var least = await wait()
        for _ in 0..<20 {
            signal.raise(.now)
            least = min(least, await wait())
        }
        #expect(least < .milliseconds(10))
    }

    @Test func `what is raised while somebody waits ends the wait`() async {
        async let waited: Void = signal.wait(until: .now, in: .system)
        signal.raise(.now)
        await waited
    }

    @Test func `news that come in the pause end it`() async {
        var least = Duration.seconds(60)
        for _ in 0..<20 {
            signal.raise(.soon)
            async let waited = wait()
            signal.raise(.now)
            least = min(least, await waited)
        }
        #expect(least < .milliseconds(10))
    }

    @Test func `what was raised holds until a claim`() async {
        signal.raise(.now)
        await signal.wait(until: .now, in: .system)
        // Would wait for ever.
        await signal.wait(until: .now, in: .system)
    }

    @Test func `a wait that is cancelled leaves what was raised to the next`() async {
        signal.raise(.soon)
        let cancelled = Task { await signal.wait(until: .now, in: .system) }
        cancelled.cancel()
        await cancelled.value
        // It would wait for ever.
        _ = await wait()
    }

    @Test func `a wait that is cancelled ends without news`() async {
        let cancelled = Task { await signal.wait(until: .now, in: .system) }
        cancelled.cancel()
        await cancelled.value
    }

    @Test func `what was raised before a claim asks for no pass after it`() async {
        signal.raise(.now)
        signal.clear()
        let isCancelled = NIOLockedValueBox(false)
        let waiting = Task {
            await signal.wait(until: .now, in: .system)
            return isCancelled.withLockedValue { $0 }
        }
        // However long that takes, whoever has something to wait for is not through before.
        for _ in 0..<100 { await Task.yield() }
        isCancelled.withLockedValue { $0 = true }
        waiting.cancel()
        #expect(await waiting.value)
    }
}
