import CLibPQ
import Glibc
import LocalServices

/// One writer: commits a change with libpq as directly as can be, and waits until Redis shows that its keys have changed.
///
/// It blocks the thread that it is on, and is used on one at a time.
///
/// `@unchecked Sendable` because its turns follow one another, and nobody else has it meanwhile.
final class CommitClient: @unchecked Sendable {
    /// How long one change took, in microseconds.
    struct Sample {
        /// From sending the statement, which commits by itself, until the last key had changed.
        var sinceSent: Double
        /// From when the writer knew that it had committed; 0 where the keys had changed before.
        var sinceAcknowledged: Double
    }

    /// Owned by this object until it goes, because that is how libpq hands out a connection.
    private let connection: OpaquePointer
    private let observer: InvalidationObserver
    /// The one that has keys changed for what is committed here.
    private let program: LocalProgram
    /// That of the process which Postgres has for this session.
    let session: ProcessorClock

    init(conninfo: String, redisPath: String, prefix: String, program: LocalProgram) throws {
        guard let connection = PQconnectdb(conninfo), PQstatus(connection) == CONNECTION_OK else {
            throw BareRedis.Failure(description: "libpq cannot connect")
        }
        self.connection = connection
        self.program = program
        observer = try InvalidationObserver(path: redisPath, prefix: prefix)
        session = try ProcessorClock(of: PQbackendPID(connection))
    }

    deinit {
        PQfinish(connection)
    }

    func execute(_ sql: String) throws {
        let result = PQexec(connection, sql)
        defer { PQclear(result) }
        guard [PGRES_COMMAND_OK, PGRES_TUPLES_OK].contains(PQresultStatus(result)) else {
            let reason = String(cString: PQerrorMessage(connection))
            throw BareRedis.Failure(description: "Postgres refuses \(sql): \(reason)")
        }
    }

    /// Commits a change, and waits for what it leads to.
    ///
    /// - Throws: What was committed, the keys that have not changed, and how the program ended, where they do not change in time.
    func sample(_ sql: String, changing keys: Set<String>) throws -> Sample {
        try observer.forget()
        let sent = ContinuousClock.now
        try execute(sql)
        let acknowledged = ContinuousClock.now
        do { try observer.wait(for: keys) } catch let unchanged as InvalidationObserver.Unchanged {
            let ending = program.ending ?? "it has not ended"
            throw NotWarm(description: "\(sql): \(unchanged); of the program that was to change them: \(ending)")
        }
        let end = ContinuousClock.now
        return Sample(
            sinceSent: Stopwatch.microseconds(sent.duration(to: end)),
            sinceAcknowledged: Stopwatch.microseconds(acknowledged.duration(to: end))
        )
    }
}
