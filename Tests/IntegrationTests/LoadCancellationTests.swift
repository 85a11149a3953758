import Freshet
import FreshetPostgres
import LocalServices
import Postgres
import TestSupport
import Testing

/// A load over libpq, cancelled before its first step, before its second, and so on: steps of the task, between which the
/// connection's own thread does what it does.
@Suite struct LoadCancellationTests {
    @Test func `a load that is cancelled at any step gives its connection back`() async throws {
        try await Scenario.run { scenario in
            try await scenario.insert(detectors: [1], workflows: [(10, nil)])
            let pool = PostgresPool(
                configuration: PostgresConfiguration(
                    connectionString: scenario.servers.postgres.connectionString(database: scenario.database)
                ),
                maximumConnections: 1,
                logger: testLogger
            )
            let loader = PostgresWorkflowLoader(pool: pool)
            // Who gives a connection back waits for it also when cancelled, so nothing is held back from it.
            for moment in [SteppedStage.Moment.atOnce, .beforeStep] {
                // From here on: before, it may be the turn of others for a long time.
                try await withTimeLimit(.seconds(300), "the end of a load that is cancelled, \(moment)") {
                    var step = 0
                    while try await play(loader, moment, cancellingBefore: step) { step += 1 }
                    #expect(step >= 3, "\(moment)")
                }
            }
            await pool.close()
        }
    }

    /// Loads once, and once more.
    ///
    /// - Returns: Whether the load was still under way at that step, and was cancelled.
    private func play(
        _ loader: PostgresWorkflowLoader,
        _ moment: SteppedStage.Moment,
        cancellingBefore step: Int
    ) async throws -> Bool {
        let key = DetectorWorkflowsKey(detectorID: 1, environment: .global)
        let stage = SteppedStage()
        let load = stage.start(caller: 0) { try await loader.load([key]) }
        // The pool stays.
        stage.forget()
        let outcome = try await stage.play(cancellingBefore: step, moment, callerCount: 1) { load.cancel() }
        switch await load.result {
        case .success(let loaded):
            #expect(loaded.values[key]?.map(\.id) == [10], "\(outcome.trace)")
        case .failure(let error):
            let isCancellation = error is CancellationError || (error as? PostgresError)?.code == .cancelled
            #expect(isCancellation && outcome.isCancelled, "\(error) at \(outcome.trace)")
        }
        // The only place of the pool is free again, and its connection is where it was.
        let again = try await loader.load([key])
        #expect(again.values[key]?.map(\.id) == [10], "\(outcome.trace)")
        return outcome.isCancelled
    }
}
