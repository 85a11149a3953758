import Audit
import Operations
import Synchronization

/// What the auditor beside a worker has found since it began, for those who look at the worker.
final class AuditSummary: Sendable {
    private let state: WorkerState
    private let totals = Mutex<[String: AuditTally]>([:])

    init(state: WorkerState) {
        self.state = state
    }

    /// - Parameter proven: What the nines are about, by the name of the cache.
    @Sendable func take(_ batch: Auditor.Batch, proven: [String: AuditTally]) async {
        let totals = totals.withLock { totals in
            for (cache, tally) in batch.tallies { totals[cache] = (totals[cache] ?? AuditTally()) + tally }
            return totals
        }
        for cache in batch.tallies.keys {
            guard let total = totals[cache], let proven = proven[cache] else { continue }
            state.note(
                WorkerState.Audit(
                    consistent: total.consistent,
                    inFlight: total.inFlight,
                    inconsistent: total.inconsistent,
                    undecided: total.undecided,
                    nines: proven.bound.nines
                ),
                of: cache
            )
        }
    }
}
