package import InvalidationWorker
package import Keyspace
import Synchronization

/// An entry that is not simply right, with all that was seen of it.
package struct AuditFinding: Sendable {
    /// The name of the cache.
    package var cache: String
    /// The entry.
    package var name: EntryName
    /// The key in Redis; the field is `e:` and the variant.
    package var key: String
    /// What is said of it.
    package var verdict: Verdict
    /// What the entry was valid for.
    package var stamp: EntryStamp
    /// The generations of the last reading; while the entry is served they are those of the stamp.
    package var generations: Generations
    /// The head of the last reading: what the worker vouches for and has applied.
    package var head: Head
    /// The time of the last reading.
    package var time: RedisTime?
    /// The rows in the entry.
    package var cached: [AuditedRow]
    /// The rows in the database; nil where it did not answer.
    package var database: [AuditedRow]?
    /// Which Postgres answered.
    package var postgres: String?
    /// What differs.
    package var difference: ValueDifference?
    /// The journal, in the snapshot that the worker must have applied for the verdict to be `inconsistent`.
    package var journal: JournalView?
    /// What the worker beside this auditor has applied lately that invalidates the entry, the newest first.
    package var passes: [PassHistory.Pass] = []
}

/// What a worker in the same process has applied lately.
///
/// Rows of the journal are gone when they are applied; this remembers for an auditor what they were.
package final class PassHistory: Sendable {
    /// One pass that was not empty.
    package struct Pass: Sendable {
        /// When it was told.
        package var at: ContinuousClock.Instant
        /// What it did.
        package var report: PassReport
    }

    private struct State {
        var passes: [Pass] = []
        /// The entities of all of them.
        var entityCount = 0
    }

    private let state = Mutex(State())
    /// How many passes are remembered at the most, how many entities of all of them, and how many changes of each.
    private static let (passesKept, entitiesKept, changesKept) = (256, 100_000, 20)

    package init() {}

    /// Takes what a worker tells.
    @Sendable package func note(_ event: WorkerEvent) async {
        guard case .applied(let report) = event else { return }
        var pass = Pass(at: .now, report: report)
        pass.report.changes = Array(report.changes.suffix(Self.changesKept))
        state.withLock { state in
            state.passes.append(pass)
            state.entityCount += pass.report.scopes.entities.count
            while state.passes.count > Self.passesKept || state.entityCount > Self.entitiesKept {
                state.entityCount -= state.passes.removeFirst().report.scopes.entities.count
            }
        }
    }

    /// The passes that invalidate an entry, the newest first, ten at the most.
    func covering(_ name: EntryName, in namespace: CacheNamespace) -> [Pass] {
        state.withLock { state in
            let covering = state.passes.reversed().lazy.filter { pass in
                pass.report.namespace == namespace
                    && (!pass.report.resetBuckets.isEmpty || pass.report.scopes.covers(name.entity, name.variant))
            }
            return Array(covering.prefix(10))
        }
    }
}
