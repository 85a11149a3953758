import Keyspace

@testable import InvalidationWorker

extension PassReport {
    /// A pass of the cache of workflows that bumped one detector.
    static func made(
        subjects: [String] = ["link"],
        application: String? = "admin",
        operation: String = "update"
    ) -> PassReport {
        PassReport(
            namespace: .workflows,
            changes: subjects.map {
                ChangeSummary(subject: $0, operation: operation, rowCount: 1, applicationName: application)
            },
            rowCount: Int64(subjects.count),
            scopes: ScopeSet([.entity(Entity(1))]),
            resetBuckets: [],
            bumpCount: 1,
            duration: .milliseconds(2)
        )
    }
}
