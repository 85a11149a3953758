import Audit
import Freshet
import Keyspace
import LocalServices
import Postgres
import Redis

/// What one round of an audit brought.
struct AuditOutcome: Sendable {
    var findings: [AuditFinding] = []
    var tallies: [String: AuditTally] = [:]

    /// The entries that were called so, as `<entity>/<variant>`, sorted.
    func entries(_ verdict: Verdict) -> [String] {
        findings.filter { $0.verdict == verdict }.map { "\($0.name.entity)/\($0.name.variant)" }.sorted()
    }

    var total: AuditTally { tallies.values.reduce(AuditTally(), +) }
}

extension Scenario {
    /// Lets the auditor's role read some tables: what its documentation asks for.
    func admitAuditor(
        to tables: String = "workflow_engine_workflow, workflow_engine_detectorworkflow"
    ) async throws {
        try await execute("GRANT SELECT ON \(tables) TO \(Servers.Roles.auditor)")
    }

    /// An auditor under its documented role.
    func auditor(patience: Duration? = nil, history: PassHistory? = nil) async throws -> Auditor {
        try await Auditor.open(
            auditorPostgres,
            redis: redis,
            configuration: auditConfiguration(patience: patience, history: history),
            logger: testLogger
        )
    }

    var auditorPostgres: PostgresConfiguration {
        PostgresConfiguration(
            connectionString: servers.postgres.connectionString(database: database, user: Servers.Roles.auditor)
        )
    }

    func auditConfiguration(patience: Duration? = nil, history: PassHistory? = nil) -> Auditor.Configuration {
        var configuration = Auditor.Configuration()
        configuration.namespace = namespace
        configuration.limits = limits
        configuration.entriesPerSecond = 10_000
        configuration.patience = patience
        configuration.history = history
        return configuration
    }

    /// Audits once.
    func audit(
        _ selection: AuditSelection = .all,
        patience: Duration? = nil,
        history: PassHistory? = nil
    ) async throws -> AuditOutcome {
        try await audit(by: auditor(patience: patience, history: history), selection)
    }

    /// Audits once, and closes the auditor.
    func audit(by auditor: Auditor, _ selection: AuditSelection = .all) async throws -> AuditOutcome {
        var auditor = auditor
        do {
            var outcome = AuditOutcome()
            try await auditor.round(selection) { outcome.add($0) }
            await auditor.close()
            return outcome
        } catch {
            await auditor.close()
            throw error
        }
    }

    // MARK: Falsehoods, written past the library

    /// The stamp that an entry needs to be valid now.
    func validStamp(_ detector: Int64, _ environment: DetectorEnvironment) async throws -> EntryStamp? {
        let entity = key(detector)
        let head = namespace.headKey(bucket: namespace.bucket(of: Entity(detector)))
        let generations = Generations(
            namespace: try await field("gen", of: head).flatMap { Generation(utf8: $0) },
            entity: try await field("g", of: entity).flatMap { Generation(utf8: $0) },
            variant: try await field("g:\(environment.variant)", of: entity).flatMap { Generation(utf8: $0) }
        )
        return try await redisTime().flatMap { generations.stamp(readAt: $0) }
    }

    /// Puts an entry there that is valid, whatever it says.
    func plant(_ workflows: [Workflow], _ detector: Int64, _ environment: DetectorEnvironment) async throws {
        guard let stamp = try await validStamp(detector, environment) else { throw NothingToFalsify() }
        let entry = Entry(stamp: stamp, payload: WorkflowCodec.encode(workflows)[...])
        try await command(
            "HSET",
            .string(key(detector)),
            .string("e:\(environment.variant)"),
            .bytes(EntryCodec.encode(entry))
        )
    }

    /// What an entry says.
    func cached(_ detector: Int64, _ environment: DetectorEnvironment) async throws -> [Workflow] {
        guard let entry = try await entry(detector, environment) else { throw NothingToFalsify() }
        return try WorkflowCodec.decode(entry.payload)
    }
}

/// An entry that a test wants to falsify is not there.
struct NothingToFalsify: Error {}

extension AuditOutcome {
    mutating func add(_ batch: Auditor.Batch) {
        findings += batch.findings
        for (cache, tally) in batch.tallies { tallies[cache] = (tallies[cache] ?? AuditTally()) + tally }
    }
}
