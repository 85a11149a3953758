import Freshet
import InvalidationWorker
import Keyspace
import Logging
import Postgres

/// The auditor's session with Postgres.
///
/// It reads: whatever would write on it fails. Not to be used by two tasks at once.
struct AuditSession: Sendable {
    private let connection: PostgresConnection
    /// The attached tables, by cache and by the part that each plays.
    let tables: [String: [String: String]]

    // `row_security = off` turns a policy that would hide rows into an error. A load that must wait for a table is given up: an
    // entry is undecided then, and nobody waits behind us.
    private static let settings = """
        SET default_transaction_read_only = on;
        SET row_security = off;
        SET statement_timeout = '10s';
        SET lock_timeout = '2s';
        SET idle_session_timeout = 0;
        SET jit = off;
        SET search_path = pg_catalog;
        """

    /// Opens a session, and finds out whether it can do all that an audit needs.
    ///
    /// - Throws: `PostgresError`, or ``AuditError``.
    static func open(_ configuration: PostgresConfiguration, logger: Logger) async throws -> AuditSession {
        var configuration = configuration
        configuration.requiresReadWrite = true
        let connection = try await PostgresConnection.connect(configuration, logger: logger)
        do {
            // Settings must stay with this session, and not with whomever a pooler lends it to next.
            let backend = try await connection.query("SELECT pg_backend_pid()").int64(0, 0)
            guard backend == Int64(connection.backendPID) else { throw AuditError.pooled }
            try await connection.run(script: settings)
            // Before anything that somebody who may read everything can do: it takes a role of Freshet's.
            _ = try await connection.query("SELECT freshet.identity()")
            let tables = try await JournalView.attachedTables(on: connection)
            let session = AuditSession(connection: connection, tables: tables)
            guard !session.caches.isEmpty else { throw AuditError.nothingAttached }
            for cache in session.caches {
                try await session.probe(cache)
                _ = try await session.journal(of: cache.name)
            }
            return session
        } catch {
            await connection.close()
            throw error
        }
    }

    /// The caches that are attached.
    var caches: [any AuditedCache] { AuditedCaches.all.filter { tables[$0.name] != nil } }

    private func probe<Cache: AuditedCache>(_ cache: Cache) async throws {
        _ = try await load([], of: cache)
    }

    /// What the database holds for some keys.
    func load<Cache: AuditedCache>(
        _ keys: [Cache.Key],
        of cache: Cache
    ) async throws -> LoadedValues<Cache.Key, [AuditedRow]> {
        try await cache.load(keys, from: tables[cache.name] ?? [:], on: connection)
    }

    /// What the journal holds of a cache.
    func journal(of cache: String) async throws -> JournalView {
        try await JournalView.read(cache: cache, on: connection)
    }

    func close() async {
        await connection.close()
    }
}
