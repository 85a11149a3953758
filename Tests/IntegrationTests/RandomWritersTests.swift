import Foundation
import Freshet
import Surroundings
import Testing

/// Writers that do anything to anything at the same time, and readers that keep the cache filled with whatever they see:
/// whenever the writers pause and the worker has caught up, every entry is what the database holds.
///
/// `FRESHET_TEST_SECONDS` in the environment says for how long, `FRESHET_TEST_SEED` with which choices. The seed decides what
/// each writer does, not how they meet.
@Suite struct RandomWritersTests {
    private static let detectors: [Int64] = Array(1...6)
    private static let environments: [Int64] = [5, 6]

    private static func setting(_ name: String) -> UInt64? {
        ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) }
    }

    @Test(arguments: ForeignKeys.allCases)
    func `random concurrent writers never leave an entry that differs from the database`(
        keys: ForeignKeys
    ) async throws {
        let seed = Self.setting("FRESHET_TEST_SEED") ?? .random(in: .min ... .max)
        let seconds = Self.setting("FRESHET_TEST_SECONDS") ?? 15
        print("random writers, foreign keys \(keys): FRESHET_TEST_SEED=\(seed)")
        try await Scenario.run(keys) { scenario in
            let worker = try await scenario.startWorker(hears: true)
            let tally = Tally()
            let reading = Task { try await Self.read(scenario, seed: seed, tally) }
            defer { reading.cancel() }
            var writers: [RandomWriter] = []
            for number in 1...4 as ClosedRange<UInt64> {
                writers.append(try await RandomWriter(scenario, seed: seed &+ number &* 0x1234_5678_9ABC_DEF1))
            }
            var hits = 0
            let end = ContinuousClock.now + .seconds(Int(seconds))
            // On a slow machine longer, until there is something to tell.
            func isEnough() -> Bool { hits > 100 && tally.counts[.reads, default: 0] > 100 }
            rounds: while ContinuousClock.now < end || (!isEnough() && ContinuousClock.now < end + .seconds(120)) {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for writer in writers {
                        group.addTask { try await writer.write(transactions: 12, tally) }
                    }
                    try await group.waitForAll()
                }
                try await scenario.drain(worker)
                // First what the readers have left in the cache, then what the same reads have filled.
                for _ in 1...2 {
                    let found = try await scenario.expectConsistent(
                        detectors: Self.detectors,
                        environments: Self.environments
                    )
                    hits += found.hits
                    if found.mistakes > 0 {
                        Issue.record("replay with FRESHET_TEST_SEED=\(seed)")
                        break rounds
                    }
                }
            }
            for writer in writers { await writer.close() }
            reading.cancel()
            try await reading.value
            let counts = tally.counts
            print("random writers, foreign keys \(keys): \(counts), \(hits) hits held against the database")
            #expect(isEnough())
            #expect(counts[.committed, default: 0] > counts[.givenUp, default: 0])
        }
    }

    /// Reads until it is cancelled.
    private static func read(_ scenario: Scenario, seed: UInt64, _ tally: Tally) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 1...2 as ClosedRange<UInt64> {
                group.addTask {
                    var randomness = SplitMix64(seed: seed &- number)
                    while !Task.isCancelled {
                        let environment = environments.randomElement(using: &randomness).map {
                            DetectorEnvironment.environment($0)
                        }
                        let asked = detectors.filter { _ in Bool.random(using: &randomness) }
                        do {
                            _ = try await scenario.lookup.workflows(ofDetectors: asked, in: environment ?? .global)
                        } catch  where Task.isCancelled {
                            return
                        }
                        tally.add(.reads)
                    }
                }
            }
            try await group.waitForAll()
        }
    }
}
