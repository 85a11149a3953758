import Glibc
import InvalidationWorker
import Keyspace
import LocalServices
import Logging
import Postgres

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The servers of a drain, with those that take turns in it: our worker, and the floors.
///
/// Whoever has no turn is stopped where it stands (SIGSTOP).
struct DrainStage: Sendable {
    /// Who drains.
    enum Side: Hashable, Sendable, CaseIterable {
        case ours
        /// A C program with the same statements and scripts.
        case same
        /// One that does the least there can be.
        case least
    }

    let stage: WorkerStage
    private let same: LocalProgram
    private let least: LocalProgram
    /// Like `least`, but bumps the namespace once for all that it deletes.
    private let collapsingLeast: LocalProgram
    /// What `same` reads its statements from.
    private let folder: String

    /// How many detectors there are, and as many rows of the journal are resolved one by one.
    static let detectorCount = 100_000

    static func set(redisPath: String) async throws -> DrainStage {
        let stage = try await WorkerStage.set(
            prefix: "drain",
            redisPath: redisPath,
            // Vacuum comes when it is asked to, except where it shall come by itself, and then soon.
            settings: ["autovacuum": "off", "autovacuum_naptime": "1s", "log_line_prefix": "%a|%i|"],
            tables: "INSERT INTO workflow_engine_detector (id) SELECT generate_series(1, \(detectorCount));",
            // What it adds to its history it does behind its passes: nobody could tell when it may be stopped.
            options: FreshetProgram.forgets
        )
        let name = "freshet-drain-\(UInt64.random(in: .min ... .max))"
        let folder = FileManager.default.temporaryDirectory.appending(path: name).path
        var floors: [LocalProgram] = []
        do {
            // What is measured are passes. And a worker that is stopped while it has asked Redis something takes the answer for lost
            // when it goes on, which costs a pass under way its mark: its sessions with Postgres tell when it is in none.
            try await stage.sendsHints(false)
            let files = try await writeStatements(of: stage, to: folder)
            for mode in [["same"] + files, [], ["collapse"]] {
                floors.append(
                    try LocalProgram(
                        executable: FreshetProgram.path(of: "DrainFloor"),
                        arguments: [
                            stage.conninfo(), redisPath, stage.namespace.entityKeyPrefix(bucket: 0),
                        ] + mode
                    )
                )
            }
            let drains = DrainStage(
                stage: stage,
                same: floors[0],
                least: floors[1],
                collapsingLeast: floors[2],
                folder: folder
            )
            for floor in floors {
                try await floor.start()
                try await FreshetProgram.until("the floor to listen") { try floor.log().contains("ready") }
            }
            for side in Side.allCases { try await drains.hold(side, collapses: false) }
            try await drains.hold(.least, collapses: true)
            return drains
        } catch {
            for floor in floors { await floor.destroy() }
            await stage.end()
            removeFolder(folder)
            throw error
        }
    }

    private static func removeFolder(_ path: String) {
        guard FileManager.default.fileExists(atPath: path) else { return }
        do { try FileManager.default.removeItem(atPath: path) } catch { print("\(path) is left: \(error)") }
    }

    func end() async {
        for program in [same, least, collapsingLeast] { await program.destroy() }
        await stage.end()
        Self.removeFolder(folder)
    }

    /// Writes what a worker says in a pass into files, and returns their paths: settings, claim, script.
    private static func writeStatements(of stage: WorkerStage, to folder: String) async throws -> [String] {
        let connection = try await PostgresConnection.connect(
            PostgresConfiguration(connectionString: stage.conninfo()),
            logger: Logger(label: "benchmark") { _ in SwiftLogNoOpLogHandler() }
        )
        let statements: PassStatements
        do {
            statements = try await PassStatements(on: connection)
        } catch {
            await connection.close()
            throw error
        }
        await connection.close()
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let texts = [statements.sessionSettings, statements.claim, KeyspaceScript.apply.source]
        return try zip(["settings.sql", "claim.sql", "apply.lua"], texts).map { name, text in
            let path = "\(folder)/\(name)"
            try Data(text.utf8).write(to: URL(filePath: path))
            return path
        }
    }

    func postgres() throws -> BarePostgres { try BarePostgres(stage.conninfo()) }

    // MARK: Turns

    private func program(_ side: Side, collapses: Bool) -> LocalProgram {
        switch side {
        case .ours: stage.worker
        case .same: same
        case .least: collapses ? collapsingLeast : least
        }
    }

    /// Stops one where it stands, outside any transaction.
    func hold(_ side: Side, collapses: Bool) async throws {
        let postgres = try postgres()
        let program = program(side, collapses: collapses)
        let name = side == .ours ? WorkerStage.workerName : ""
        for _ in 0..<500 {
            try program.suspend()
            let busy = try postgres.execute(
                """
                SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
                    AND application_name = '\(name)' AND state <> 'idle'
                """
            )
            if busy == "0" { return }
            try program.resume()
            try await Task.sleep(for: .milliseconds(10))
        }
        throw NotWarm(description: "\(side) is in a transaction whenever it is looked at")
    }

    func letGo(_ side: Side, collapses: Bool = false) throws {
        try program(side, collapses: collapses).resume()
    }

    // MARK: A backlog

    /// How long a drain took, and for how much of that each of those who take part used a processor; in microseconds.
    struct Drain {
        var time = 0.0
        /// All sessions together.
        var postgres = 0.0
        var redis = 0.0
        var program = 0.0

        /// Nobody did anything but wait: for the disk, or for a thread to be woken.
        var waiting: Double { max(0, time - postgres - redis - program) }
    }

    /// Has a side drain a backlog of as many changes, each of another detector that is cached: from when it was let go until the rows
    /// were gone from the journal.
    ///
    /// - Parameter rowsLeft: Whether the rows stay in the table as dead ones, because somebody's snapshot may see them.
    func drain(_ count: Int, by side: Side, rowsLeft: Bool = false) async throws -> Drain {
        let collapses = count > Self.detectorCount
        let head = stage.namespace.headKey(bucket: 0)
        let cached = min(count, Self.detectorCount)
        let generation = "1.00000000000000aa"
        let prefix = stage.namespace.entityKeyPrefix(bucket: 0)
        try await onThread {
            let redis = try BareRedis(.unix(path: stage.redisPath))
            // As a reader leaves it: an entry of 200 bytes, and the generation that guards it.
            let fill = """
                for id = ARGV[2], ARGV[3] do
                    redis.call('HSET', ARGV[1] .. string.format('%.0f', id), 'g', ARGV[4], 'e:-', string.rep('x', 200))
                end
                """
            for first in stride(from: 1, through: cached, by: 1_000) {
                _ = try redis.text("EVAL", fill, "0", prefix, "\(first)", "\(min(first + 999, cached))", generation)
            }
            let postgres = try postgres()
            // The rows that the trigger writes, a hundred a transaction.
            try postgres.execute("SET synchronous_commit = off")
            try postgres.execute(
                """
                DO $$ BEGIN
                    FOR start IN 1..\(count) BY 100 LOOP
                        INSERT INTO freshet.change (cache, subject, operation, row_count, detector_ids)
                        SELECT 'workflows', 'detector', 'update', 1, ARRAY[(id - 1) % \(Self.detectorCount) + 1]
                        FROM generate_series(start, start + 99) AS id;
                        COMMIT;
                    END LOOP;
                END $$
                """
            )
        }
        let before = try await namespaceGeneration()
        let drain = try await timed(side, collapses: collapses)
        try await hold(side, collapses: collapses)
        try await onThread {
            let postgres = try postgres()
            guard try postgres.execute("SELECT count(*) FROM freshet.change") == "0" else {
                throw NotWarm(description: "\(side) has left rows in the journal")
            }
            let redis = try BareRedis(.unix(path: stage.redisPath))
            if collapses {
                let now = try redis.text("HGET", head, "gen")
                guard side == .least || now != before else {
                    throw NotWarm(description: "the namespace was not bumped")
                }
            } else {
                let count = """
                    local count = 0
                    for id = 1, ARGV[2] do
                        local key = ARGV[1] .. string.format('%.0f', id)
                        local isNew = redis.call('HGET', key, 'g') ~= ARGV[3]
                        if isNew and redis.call('HLEN', key) == 1 then count = count + 1 end
                    end
                    return tostring(count)
                    """
                let bumped = try redis.text("EVAL", count, "0", prefix, "\(cached)", generation)
                guard bumped == "\(cached)" else {
                    let now = try redis.text("HGET", head, "gen")
                    let instead = "and the namespace from \(before) to \(now)"
                    throw NotWarm(description: "\(side) has bumped \(bumped) of \(cached) detectors, \(instead)")
                }
            }
            if !rowsLeft { try postgres.execute("VACUUM freshet.change") }
        }
        return drain
    }

    /// What a side takes from when it is let go until it has committed.
    private func timed(_ side: Side, collapses: Bool) async throws -> Drain {
        let program = program(side, collapses: collapses)
        return try await onThread {
            let postgres = try postgres()
            guard let process = program.processIdentifier else { throw NotWarm(description: "no process of \(side)") }
            let clocks = (
                postgres: try postgres.otherSessions().map(ProcessorClock.init(of:)),
                redis: try ProcessorClock(of: BareRedis(.unix(path: stage.redisPath)).processIdentifier()),
                program: try ProcessorClock(of: process)
            )
            func used() throws -> Drain {
                Drain(
                    postgres: try clocks.postgres.reduce(0) { $0 + (try $1.microseconds) },
                    redis: try clocks.redis.microseconds,
                    program: try clocks.program.microseconds
                )
            }
            // All go in one transaction, so one stands for all; by its place, so that looking costs nothing.
            guard let place = try postgres.execute("SELECT ctid FROM freshet.change LIMIT 1") else {
                throw NotWarm(description: "there is no backlog")
            }
            try postgres.execute("PREPARE look AS SELECT FROM freshet.change WHERE ctid = '\(place)'")
            let before = try used()
            try program.resume()
            let start = ContinuousClock.now
            try postgres.execute("NOTIFY freshet_change")
            while true {
                let looked = ContinuousClock.now
                if try postgres.rowCount(of: "EXECUTE look") == 0 {
                    let after = try used()
                    return Drain(
                        time: Stopwatch.microseconds(start.duration(to: looked)),
                        postgres: after.postgres - before.postgres,
                        redis: after.redis - before.redis,
                        program: after.program - before.program
                    )
                }
                guard start.duration(to: looked) < .seconds(120) else {
                    throw NotWarm(description: "\(side) has not drained the journal within 120 s")
                }
                usleep(200)
            }
        }
    }

    /// The generation of the namespace: another one once more was pending than is resolved one by one.
    func namespaceGeneration() async throws -> String {
        let head = stage.namespace.headKey(bucket: 0)
        return try await onThread { try BareRedis(.unix(path: stage.redisPath)).text("HGET", head, "gen") }
    }

    // MARK: Claims

    /// How long each claim of the worker took since the log was `offset` bytes long, in microseconds, by the log of Postgres.
    func claims(since offset: Int) throws -> [Double] {
        var bound: Double?
        var claims: [Double] = []
        for line in try stage.postgres.log().utf8.dropFirst(offset).split(separator: UInt8(ascii: "\n")) {
            guard let text = String(line), text.hasPrefix("\(WorkerStage.workerName)|") else { continue }
            let parts = text.split(separator: "|", maxSplits: 2)
            guard parts.count == 3, let start = parts[2].firstRange(of: "duration: ")?.upperBound,
                let milliseconds = Double(parts[2][start...].prefix { $0 != " " })
            else { continue }
            // A claim is bound, which may plan it anew, and executed.
            switch parts[1] {
            case "BIND": bound = milliseconds
            case "SELECT":
                if let binding = bound { claims.append((binding + milliseconds) * 1_000) }
                bound = nil
            default: bound = nil
            }
        }
        return claims
    }

    /// The length of the log of Postgres.
    func logLength() throws -> Int { try stage.postgres.log().utf8.count }
}
