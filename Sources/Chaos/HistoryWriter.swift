// The protocol of a transaction with a history:
//
//  1. lock the rows of its owners in `chaos_owner`, in order, and read there who was last: the parents; and before that, where the
//     arena is changed as well, take the lock that all share who write to it, so that nobody waits for a standstill with locks held;
//  2. change anything of theirs, in one statement or in several;
//  3. leave its own id in the rows;
//  4. read the sets back, which nobody else can change before it ends;
//  5. write all that down, and only then send COMMIT.
//
// A connection that is lost during COMMIT leaves nothing to find out here: the next transaction takes the same lock, which waits
// for the end of the lost one, and its parent tells. A session that hangs in between is ended by the server's own
// `idle_in_transaction_session_timeout`. COMMIT has no time limit of its own worth the name: cancelling one that waits for the standby
// would let it commit without.

import Freshet
import History
import Postgres
import Surroundings

/// Writes to what belongs to its owners, one transaction after another.
struct HistoryWriter {
    typealias AfterCommit = @Sendable (Transaction, Set<HistoryKey>, String) async throws -> Void

    let owners: [Int]
    var randomness: SplitMix64
    let log: WriterLog
    /// Called with what was committed, the sets that it changed, and the server's token of it.
    let afterCommit: AfterCommit
    /// Whether everything was put there, which whoever writes everything begins with.
    private var hasFilled = false

    init(
        owners: [Int],
        randomness: SplitMix64,
        log: WriterLog,
        afterCommit: @escaping AfterCommit
    ) {
        self.owners = owners
        self.randomness = randomness
        self.log = log
        self.afterCommit = afterCommit
    }

    private static let commitTimeLimit: Duration = .seconds(120)

    mutating func run(_ configuration: PostgresConfiguration, until termination: Termination) async throws {
        while !termination.isRequested {
            do {
                let connection = try await PostgresConnection.connect(configuration, logger: .client("writer"))
                do {
                    try await connection.run(script: ChaosData.session)
                    while !termination.isRequested {
                        try await write(connection)
                        // Who writes everything does so now and then.
                        let pause = owners.count == 1 ? 5 + randomness.below(40) : 400 + randomness.below(800)
                        try await Task.sleep(for: .milliseconds(pause))
                    }
                } catch {
                    await connection.close()
                    throw error
                }
                await connection.close()
            } catch let error as RecordFailure {
                throw error
            } catch let error as PostgresError where error.isDefect {
                throw error
            } catch {
                try await Task.sleep(for: .milliseconds(30))
            }
        }
    }

    private mutating func write(_ connection: PostgresConnection) async throws {
        let committed: (transaction: Transaction, changed: Set<HistoryKey>, token: String)
        do {
            committed = try await transaction(on: connection)
        } catch let error as PostgresError where error.isRolledBack {
            try await connection.run(script: "ROLLBACK")
            return
        }
        do {
            try await afterCommit(committed.transaction, committed.changed, committed.token)
        } catch let error as RecordFailure {
            throw error
        } catch {
            // A reader whose servers are away.
        }
    }

    private mutating func transaction(
        on connection: PostgresConnection
    ) async throws -> (Transaction, Set<HistoryKey>, String) {
        let id = UInt64.random(in: 1...UInt64(Int64.max))
        let change = change(version: String(id, radix: 36))
        try await connection.run(
            script: randomness.chance(oneIn: 4) ? "BEGIN ISOLATION LEVEL REPEATABLE READ" : "BEGIN"
        )
        if change.concernsArena { try await connection.run(script: ChaosData.enterArena) }
        let list = PostgresParameter.array(owners.map { Int64($0) })
        let locked = try await connection.query(
            "SELECT owner, transaction FROM chaos_owner WHERE owner = ANY ($1::bigint[]) ORDER BY owner FOR UPDATE",
            [list]
        )
        let seen = Moment.now
        var parents: [Int: UInt64] = [:]
        for row in locked.rows {
            parents[Int(try locked.int64(row, 0) ?? 0)] = UInt64(try locked.int64(row, 1) ?? 0)
        }
        let before = try Self.values(of: try await connection.query(ChaosData.readBack, [list]))
        for statement in change.statements { try await connection.run(script: statement) }
        _ = try await connection.query(
            "UPDATE chaos_owner SET transaction = $1 WHERE owner = ANY ($2::bigint[])",
            [PostgresParameter(id), list]
        )
        let read = try await connection.query(ChaosData.readBack, [list])
        let values = try Self.values(of: read)
        let token = try await connection.query("SELECT freshet.token()").string(0, 0) ?? ""
        let transaction = Transaction(id: id, parents: parents, seen: seen, sent: .now, values: values)
        try log.add(.intent(transaction))
        do {
            _ = try await connection.query("COMMIT", timeLimit: Self.commitTimeLimit)
        } catch let error as PostgresError where error.isRolledBack {
            try log.add(.refused(id: id))
            throw error
        }
        try log.add(.acknowledged(id: id, at: .now))
        hasFilled = true
        let changed = Set(before.keys).union(values.keys).filter { before[$0] != values[$0] }
        return (transaction, changed, token)
    }

    /// The sets that a result of ``ChaosData/readBack`` holds.
    static func values(of read: borrowing QueryResult) throws -> [HistoryKey: String] {
        var values: [HistoryKey: String] = [:]
        for row in read.rows {
            let key = HistoryKey(
                detector: UInt16(try read.int64(row, 0) ?? 0),
                environment: UInt16(try read.int64(row, 1) ?? 0)
            )
            values[key] = read.string(row, 2) ?? ""
        }
        return values
    }

    // MARK: What is written

    private mutating func change(version: String) -> BulkChange {
        guard owners.count == 1 else {
            return hasFilled ? .random(version: version, using: &randomness) : .fillAnew(version: version)
        }
        return BulkChange(
            statements: (0...randomness.below(3)).map { _ in statement(of: owners[0], version: version) }
        )
    }

    /// - Parameter version: What a workflow is named by that is touched, so that no set comes back that held it.
    private mutating func statement(of owner: Int, version: String) -> String {
        let workflow = owner * 10 + 1 + randomness.below(8)
        let other = owner * 10 + 1 + randomness.below(8)
        let detector = owner * 10 + 1 + randomness.below(4)
        let (detectors, workflows) = ("workflow_engine_detector", "workflow_engine_workflow")
        let links = "workflow_engine_detectorworkflow"
        let pair = "(detector_id, workflow_id)"
        switch randomness.below(16) {
        case 0...2: return "UPDATE \(workflows) SET name = '\(version)' WHERE id = \(workflow)"
        case 3: return "UPDATE \(workflows) SET name = '\(version)' WHERE id / 10 = \(owner)"
        case 4, 5: return "UPDATE \(workflows) SET enabled = NOT enabled WHERE id IN (\(workflow), \(other))"
        case 6...8:
            let place = environment(of: workflow)
            return "UPDATE \(workflows) SET environment_id = \(place), name = '\(version)' WHERE id = \(workflow)"
        case 9: return "UPDATE \(workflows) SET environment_id = \(environment(of: workflow)) WHERE id = \(workflow)"
        case 10, 11: return "DELETE FROM \(links) WHERE detector_id = \(detector) AND workflow_id = \(workflow)"
        case 12: return "DELETE FROM \(workflows) WHERE id = \(workflow)"
        case 13: return "DELETE FROM \(detectors) WHERE id = \(detector)"
        case 14:
            return """
                UPDATE \(links) SET workflow_id = \(other) WHERE detector_id = \(detector) AND workflow_id = \(workflow)
                    AND NOT EXISTS (SELECT FROM \(links) WHERE detector_id = \(detector) AND workflow_id = \(other))
                    AND EXISTS (SELECT FROM \(workflows) WHERE id = \(other))
                """
        default:
            return """
                INSERT INTO \(detectors) (id) VALUES (\(detector)) ON CONFLICT DO NOTHING;
                INSERT INTO \(workflows) (id, name, environment_id)
                VALUES (\(workflow), '\(version)', \(environment(of: workflow)))
                ON CONFLICT (id) DO UPDATE SET name = excluded.name;
                INSERT INTO \(links) \(pair) VALUES (\(detector), \(workflow)) ON CONFLICT DO NOTHING
                """
        }
    }

    private mutating func environment(of workflow: Int) -> String {
        if ChaosData.isGlobal(workflow) { return "NULL" }
        let choice = randomness.below(ChaosData.environments.count + (ChaosData.isRoamer(workflow) ? 1 : 0))
        return choice < ChaosData.environments.count ? "\(ChaosData.environments[choice])" : "NULL"
    }
}

extension PostgresError {
    /// Whether the server has said that the transaction is over and had no effect: conflicts of those who write at once.
    var isRolledBack: Bool {
        guard code == .server, let sqlState else { return false }
        if [.lockNotAvailable, .failedTransaction].contains(sqlState) { return true }
        // Rollback, and violated constraints.
        return ["40", "23"].contains(sqlState.conditionClass)
    }

    /// Whether this is a mistake of the writer's own.
    var isDefect: Bool {
        guard code == .server, let sqlState else { return false }
        return ["42", "22"].contains(sqlState.conditionClass)
    }
}
