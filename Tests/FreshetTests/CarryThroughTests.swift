import NIOConcurrencyHelpers
import Surroundings
import TestSupport
import Testing

@testable import Freshet

@Suite(.timeLimit(.minutes(1))) struct CarryThroughTests {
    private struct Failed: Error {}

    /// Only the function under test retains it.
    private final class Work: Sendable {
        private let stage: SteppedStage
        private let begun: NIOLockedValueBox<Int>

        init(_ stage: SteppedStage, _ begun: NIOLockedValueBox<Int>) {
            self.stage = stage
            self.begun = begun
        }

        deinit { stage.forget() }

        func run() async -> Int {
            begun.withLockedValue { $0 += 1 }
            return await stage.hold("work") ? 7 : -1
        }
    }

    @Test(arguments: SteppedStage.Moment.allCases)
    func `what is begun ends, and its outcome goes to the caller or, where that is cancelled, to the other`(
        _ moment: SteppedStage.Moment
    ) async throws {
        var isCancelled = true
        var step = 0
        while isCancelled {
            let stage = SteppedStage()
            let begun = NIOLockedValueBox(0)
            let orphans = NIOLockedValueBox<[Int]>([])
            let caller = {
                let work = Work(stage, begun)
                return stage.start(caller: 0) {
                    try await carryThrough(
                        in: .system,
                        { await work.run() },
                        orphaned: { outcome in
                            _ = work
                            orphans.withLockedValue { $0.append(outcome) }
                        }
                    )
                }
            }()
            let outcome = try await stage.play(cancellingBefore: step, moment, callerCount: 1) { caller.cancel() }
            isCancelled = outcome.isCancelled
            switch await caller.result {
            case .success(let value):
                #expect(value == 7)
                #expect(orphans.withLockedValue { $0 } == [], "\(outcome.trace)")
            case .failure(let error):
                #expect(error is CancellationError && isCancelled)
                // All that was begun, and nothing else.
                #expect(
                    orphans.withLockedValue { $0 } == begun.withLockedValue { $0 > 0 ? [7] : [] },
                    "\(outcome.trace)"
                )
            }
            step += 1
        }
        #expect(step > 2)
    }

    @Test func `what the work throws is thrown`() async {
        await #expect(throws: Failed.self) {
            try await carryThrough(
                in: .system,
                { throw Failed() },
                orphaned: { (_: Int) in Issue.record("nobody left") }
            )
        }
    }
}
