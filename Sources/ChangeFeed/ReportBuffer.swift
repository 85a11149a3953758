import InvalidationWorker
import Keyspace
import Synchronization

/// What a worker has told and nobody has written yet: bounded, and never waited for.
///
/// Where it is full the oldest reports go, and are counted: history is lost, never an invalidation.
final class ReportBuffer: Sendable {
    private struct State {
        var reports: [PassReport] = []
        var weight = 0
        var lostChanges: Int64 = 0
    }

    private let state = Mutex(State())
    /// Says that there is something to take.
    let arrivals: AsyncStream<Void>
    private let signal: AsyncStream<Void>.Continuation

    private let reportsKept: Int
    private let weightKept: Int

    /// - Parameters:
    ///   - reportsKept: So many passes at the most.
    ///   - weightKept: So many changes and entities of all of them; a single larger pass is kept all the same.
    init(reportsKept: Int = 4_096, weightKept: Int = 200_000) {
        self.reportsKept = reportsKept
        self.weightKept = weightKept
        (arrivals, signal) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    func add(_ report: PassReport) {
        state.withLock { state in
            state.reports.append(report)
            state.weight += report.weight
            // All at once down to the half, or each report of a full buffer would move all others.
            guard state.reports.count > reportsKept || state.weight > weightKept else { return }
            var dropped = 0
            while state.reports.count - dropped > 1,
                state.reports.count - dropped > reportsKept / 2 || state.weight > weightKept / 2
            {
                state.weight -= state.reports[dropped].weight
                state.lostChanges += max(1, state.reports[dropped].rowCount)
                dropped += 1
            }
            state.reports.removeFirst(dropped)
        }
        signal.yield()
    }

    /// Ends the arrivals; what comes all the same can be taken.
    func close() {
        signal.finish()
    }

    /// Everything that has come, in its order, and how many changes were dropped before it.
    func take() -> (reports: [PassReport], lostChanges: Int64) {
        state.withLock { state in
            defer { state = State() }
            return (state.reports, state.lostChanges)
        }
    }
}

extension PassReport {
    fileprivate var weight: Int { 1 + changes.count + scopes.entities.count }
}
