import Freshet
import Logging
import NIOConcurrencyHelpers
import TestSupport
import Testing

/// A lookup, cancelled before its first step, before its second, and so on, until it ends without having been cancelled.
@Suite(.timeLimit(.minutes(5))) struct LookupCancellationTests {
    private typealias Fate = SteppedServers.Fate
    private typealias Moment = SteppedStage.Moment

    @Test(arguments: LookupScenario.all)
    func `a lookup that is cancelled at any step ends, and leaves nothing behind`(
        _ scenario: LookupScenario
    ) async throws {
        var fewestLoads = Int.max
        for fate in Fate.allCases {
            for moment in Moment.allCases {
                var step = 0
                while true {
                    if let loads = try await play(scenario, fate, moment, cancellingBefore: step) {
                        fewestLoads = min(fewestLoads, loads)
                        break
                    }
                    step += 1
                }
                // Fewer would mean that it was not the lookup that was stepped.
                #expect(step >= 3, "\(fate), \(moment)")
            }
        }
        #expect(scenario.loadCount.contains(fewestLoads))
    }

    /// Plays a scenario once.
    ///
    /// - Returns: How many loads there were; nil where the lookup was still under way at that step, and so was cancelled.
    private func play(
        _ scenario: LookupScenario,
        _ fate: Fate,
        _ moment: Moment,
        cancellingBefore step: Int
    ) async throws -> Int? {
        let stage = SteppedStage()
        let contents = SteppedServers.Contents(scenario.redis)
        var calls: [(detectors: [Int64], task: Task<WorkflowAnswer, any Error>)] = []
        do {
            let lookup = try makeLookup(scenario, on: stage, contents, fate)
            for detectors in scenario.before {
                calls.append(
                    (
                        detectors,
                        stage.start(caller: calls.count + 1) { try await lookup.workflows(ofDetectors: detectors) }
                    )
                )
            }
            let deadline = scenario.hasDeadline ? ContinuousClock.now + .seconds(3_600) : nil
            let subject = stage.start(caller: 0) {
                try await lookup.workflows(ofDetectors: scenario.detectors, after: scenario.token, deadline: deadline)
            }
            for detectors in scenario.after {
                calls.append(
                    (
                        detectors,
                        stage.start(caller: calls.count + 1) { try await lookup.workflows(ofDetectors: detectors) }
                    )
                )
            }
            calls.insert((scenario.detectors, subject), at: 0)
        }
        let outcome = try await stage.play(
            cancellingBefore: step,
            moment,
            callerCount: calls.count,
            cancel: { calls[0].task.cancel() }
        )

        let place = "\(fate), \(moment): \(outcome.trace)"
        for (caller, (detectors, task)) in calls.enumerated() {
            switch await task.result {
            case .success(let answer):
                #expect(!scenario.loadFails, "\(place)")
                #expect(answer.workflows == detectors.flatMap { SteppedServers.workflows(of: $0) }, "\(place)")
            case .failure(let error):
                let isCancellation = caller == 0 && outcome.isCancelled && error is CancellationError
                #expect(
                    isCancellation || scenario.loadFails && error is SteppedServers.LoadFailed,
                    "\(error) at \(place)"
                )
            }
        }
        #expect(contents.loads.withLockedValue { $0.running } == 0, "\(place)")
        let claims = contents.redis.withLockedValue { $0.claims.values }
        #expect(claims.allSatisfy { $0.hasSuffix(MemoryRedis.other) }, "a claim is left behind at \(place)")
        guard !outcome.isCancelled else { return nil }
        #expect(claims.isEmpty != scenario.leavesClaimOfOther, "\(place)")
        return contents.loads.withLockedValue { $0.begun }
    }

    private func makeLookup(
        _ scenario: LookupScenario,
        on stage: SteppedStage,
        _ contents: SteppedServers.Contents,
        _ fate: Fate
    ) throws -> WorkflowLookup {
        let servers = SteppedServers(
            on: stage,
            contents,
            fate: fate,
            loadFails: scenario.loadFails,
            beforeRead: scenario.beforeRead
        )
        var options = CacheOptions()
        options.registry = CacheRegistry()
        options.loads.window = .zero
        scenario.options(&options)
        return try WorkflowLookup(
            redis: servers,
            options: options,
            loader: { try await servers.load($0) },
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
    }
}
