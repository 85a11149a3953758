import Synchronization

/// When each version of each workflow was known to be committed.
///
/// Postgres numbers the versions, in the order of their commits; writers report what they were told.
final class VersionLedger: Sendable {
    private let acknowledged = Mutex<[Int64: [Int64: ContinuousClock.Instant]]>([:])

    func note(_ version: Int64, of workflow: Int64, at moment: ContinuousClock.Instant) {
        acknowledged.withLock { $0[workflow, default: [:]][version] = moment }
    }

    /// How long before a read began a later version than the one that it got was acknowledged; nil where none was.
    ///
    /// To be asked when every writer has reported.
    func staleness(of version: Int64, of workflow: Int64, readAt moment: ContinuousClock.Instant) -> Duration? {
        acknowledged.withLock { acknowledged in
            let later = acknowledged[workflow]?.lazy.filter { $0.key > version }.map(\.value).min()
            guard let later, later <= moment else { return nil }
            return later.duration(to: moment)
        }
    }
}
