import Postgres

/// The sessions of the workers of a database.
package enum JournalSessions {
    /// Whether it leads, process id, `application_name`, address, time since it connected in µs.
    ///
    /// A standby is known by what it asked last: nothing but a worker tries that lock. Who may not read others' queries
    /// (`pg_read_all_stats`, or the same login) sees the leader alone.
    package static let sql = """
        SELECT lock.pid IS NOT NULL, session.pid::bigint, session.application_name, host(session.client_addr),
            (extract(epoch FROM clock_timestamp() - session.backend_start) * 1000000)::bigint
        FROM pg_stat_activity AS session
        LEFT JOIN pg_locks AS lock ON lock.pid = session.pid AND lock.locktype = 'advisory' AND lock.granted
            AND lock.objsubid = 1 AND lock.database = session.datid
            AND lock.classid::bigint = \(UInt64(bitPattern: Leadership.advisoryLockKey) >> 32)
            AND lock.objid::bigint = \(UInt64(bitPattern: Leadership.advisoryLockKey) & 0xFFFF_FFFF)
        WHERE session.datname = current_database() AND session.pid <> pg_backend_pid()
            AND (lock.pid IS NOT NULL OR session.query IN (\(SQLText.literal(Journal.tryLock)), \(SQLText.literal(Journal.lockHolder))))
        ORDER BY 1 DESC, 2
        LIMIT 20
        """
}
