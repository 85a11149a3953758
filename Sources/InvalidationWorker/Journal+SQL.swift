// The statements of the worker. Every name of Freshet is qualified, and the names of the application's tables are quoted by
// Postgres itself, in `attachedNames`.

extension Journal {
    /// Settings of the session, and what the worker must know before it begins.
    ///
    /// `row_security = off` turns a policy that would hide rows into an error. `enable_seqscan = off` because the journal is
    /// nearly always empty, so that the planner would rather read all its dead rows than its index. `jit = off` because what
    /// cannot do without a sequential scan then looks so expensive that it would be compiled, for seconds, at every claim.
    /// No time limit of the server's is wanted: the session has its own, and one that cut a large backlog short would cut it
    /// short for ever. `synchronous_commit = off` because nobody need wait for the disk, or the standby, with a pass, least of all
    /// the writers whose commits would queue behind it: a pass that a crash or a promotion undoes is made again, and after either
    /// the incarnation is gone, so that everything is invalidated before anything is promised.
    static let sessionSettings = """
        SET row_security = off;
        SET enable_seqscan = off;
        SET jit = off;
        SET synchronous_commit = off;
        SET statement_timeout = 0;
        SET lock_timeout = 0;
        SET idle_session_timeout = 0;
        SET idle_in_transaction_session_timeout = 0;
        SET search_path = pg_catalog;
        """

    /// Whether the triggers send notifications, by the setting that they obey.
    static let notifies = "SELECT freshet.notify_enabled()"

    static let tryLock = "SELECT pg_try_advisory_lock(\(Leadership.advisoryLockKey))"

    /// An advisory lock of one bigint shows its halves, and 1 as the third number.
    static let lockHolder = """
        SELECT pid::bigint FROM pg_locks
        WHERE locktype = 'advisory' AND granted AND objsubid = 1
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND classid::bigint = \(UInt64(bitPattern: Leadership.advisoryLockKey) >> 32)
            AND objid::bigint = \(UInt64(bitPattern: Leadership.advisoryLockKey) & 0xFFFF_FFFF)
        """

    static let listen = "LISTEN freshet_change"

    static let unlisten = "UNLISTEN freshet_change"

    static let identity = "SELECT freshet.identity()"

    /// Crash recovery empties an UNLOGGED table, so a missing token says that commits may have been lost.
    static let newIncarnation = """
        INSERT INTO freshet.incarnation (token)
        SELECT replace(gen_random_uuid()::text, '-', '')
        WHERE NOT EXISTS (SELECT FROM freshet.incarnation)
        """

    /// The attached tables, a row for each column: cache, subject, table, role, column, each name quoted where it must be, and
    /// what a claim says of the cache as long as its tables are these.
    static let attachedNames = """
        SELECT attachment.cache, attachment.subject, format('%I.%I', schema_name, table_name),
            col.role, quote_ident(col.name), said.attachments
        FROM freshet.attachment, jsonb_each_text(attachment.columns) AS col (role, name),
            (\(attachments)) AS said (cache, attachments)
        WHERE said.cache = attachment.cache
        """

    private static let attachments = """
        SELECT cache, string_agg(attachment::text, ' ' ORDER BY subject) FROM freshet.attachment GROUP BY cache
        """

    static let acknowledge = "UPDATE freshet.fence SET mark = $1, triggers = $2 WHERE cache = $3"

    /// The claim: one statement, so one snapshot, for the rows of every cache, for what resolves them, and for the proof that
    /// the triggers are as attached.
    ///
    /// Parameters: $1 the floor's xmax, $2 what was in progress at the floor, $3 the mark of this pass, $4 the greatest
    /// number of rows that are resolved one by one; they may name ten times as many keys.
    ///
    /// The rows are `(kind, cache, text1, text2, text3, text4, number1, number2, number3, hint, array…)`, the arrays as text:
    ///
    /// * `pass`: snapshot; rows seen, rows deleted;
    /// * `cache`: mark, acknowledged triggers; rows that concern it;
    /// * `attachments`: the names of tables and columns, to be held against ``AttachedNames/attachments``;
    /// * `attached`: subject, fingerprint, problem;
    /// * `change`: subject, operation, application, user; rows touched, time of the trigger and, where Postgres keeps it, of the
    ///   commit in µs; what its notification called it; the columns of the cache, in its order;
    /// * `fact`, and `fan` where it fans out: the kind of look-up, and what it found;
    /// * `clock`: the time in µs when all the others had been found, for this is the last.
    ///
    /// The rows are looked up three times, in one snapshot: to be counted, to be read, and to be deleted. Only those are read that
    /// are resolved one by one, and where there are none, nobody looks for them again: reading a collapsed backlog took longer than
    /// all else that is done with it. Rows of the journal are inserted and deleted, never updated, so what is deleted is what was seen.
    ///
    /// Locks: row locks on the claimed rows of the journal and, where there are any, on the rows of `freshet.fence` of the
    /// caches that they concern.
    ///
    /// - Parameter facts: The tables of the caches whose facts are looked up.
    static func claim(_ caches: [any CacheRules] = Caches.all, facts: [String: AttachedNames]) -> String {
        let width = caches.map(\.journalColumns.count).max() ?? 0
        func row(_ columns: String..., hint: String = "NULL::text", arrays: [String] = []) -> String {
            (columns + [hint] + arrays + Array(repeating: "NULL::text", count: width - arrays.count))
                .joined(separator: ", ")
        }
        let isClaimed = "(change.xid >= $1::xid8 OR change.xid = ANY ($2::xid8[]))"
        let names = caches.map { "('\($0.name)')" }.joined(separator: ", ")
        var parts = [
            """
            WITH counted AS MATERIALIZED (
                SELECT cache, count(*) AS rows, sum(row_count) AS touched FROM freshet.change WHERE \(isClaimed) GROUP BY cache
            ), depth AS MATERIALIZED (
                SELECT served.cache, coalesce(sum(counted.rows), 0)::bigint AS rows,
                    coalesce(sum(counted.rows), 0) > $4::bigint
                        OR coalesce(sum(counted.touched), 0) > 10 * $4::bigint AS collapsed
                FROM (VALUES \(names)) AS served (cache)
                LEFT JOIN counted ON coalesce(counted.cache, served.cache) = served.cache
                GROUP BY served.cache
            ), seen AS MATERIALIZED (
                SELECT change.xmin AS writer, change.* FROM freshet.change
                WHERE \(isClaimed) AND (SELECT bool_or(NOT collapsed AND rows > 0) FROM depth)
                    AND (cache IS NULL OR cache = ANY (ARRAY(SELECT cache FROM depth WHERE NOT collapsed)))
            ), gone AS (
                DELETE FROM freshet.change WHERE \(isClaimed) AND (SELECT count(*) > 0 FROM counted) RETURNING 1
            ), marked AS (
                UPDATE freshet.fence SET mark = $3::text
                WHERE EXISTS (SELECT FROM counted WHERE coalesce(counted.cache, fence.cache) = fence.cache)
            )
            SELECT \(row("'pass'", "NULL::text", "pg_current_snapshot()::text", "NULL::text", "NULL::text", "NULL::text",
                "(SELECT coalesce(sum(rows), 0)::bigint FROM counted)", "(SELECT count(*) FROM gone)", "NULL::bigint"))
            """,
            """
            SELECT \(row("'cache'", "depth.cache",
                "CASE WHEN fence.cache IS NOT NULL THEN coalesce(fence.mark, '') END", "fence.triggers", "NULL",
                "NULL", "depth.rows", "NULL", "NULL"))
            FROM depth LEFT JOIN freshet.fence ON fence.cache = depth.cache
            """,
            """
            SELECT \(row("'attachments'", "said.cache", "said.attachments", "NULL", "NULL", "NULL", "NULL",
                "NULL", "NULL"))
            FROM (\(attachments)) AS said (cache, attachments)
            """,
            """
            SELECT \(row("'attached'", "cache", "subject", "fingerprint", "CASE WHEN ok THEN NULL ELSE problem END",
                "NULL", "NULL", "NULL", "NULL"))
            FROM freshet.attached
            """,
        ]
        for rules in caches {
            parts.append(
                """
                SELECT \(row("'change'", "'\(rules.name)'", "subject", "operation", "application_name", "user_name",
                    "row_count", microseconds("changed_at"), committedAt("writer"),
                    hint: "hint::text", arrays: rules.journalColumns.map { "\($0.name)::text" }))
                FROM seen
                WHERE coalesce(cache, '\(rules.name)') = '\(rules.name)'
                    AND NOT (SELECT collapsed FROM depth WHERE depth.cache = '\(rules.name)')
                """
            )
            guard let tables = facts[rules.name] else { continue }
            for query in rules.factQueries(tables, ClaimedKeys(cache: rules.name)) ?? [] {
                parts.append(
                    """
                    (SELECT \(row("'\(query.fansOut ? "fan" : "fact")'", "'\(rules.name)'", "'\(query.kind)'", "text1", "text2",
                        "NULL", "number1", "number2", "NULL"))
                    FROM (\(query.sql)) AS fact (number1, number2, text1, text2)\(query.fansOut ? "\nLIMIT $4::bigint + 1" : ""))
                    """
                )
            }
        }
        parts.append(
            """
            SELECT \(row("'clock'", "NULL", "NULL", "NULL", "NULL", "NULL",
                microseconds("clock_timestamp()"), "NULL", "NULL"))
            """
        )
        return parts.joined(separator: "\nUNION ALL\n")
    }

    /// When a transaction committed, in µs, as SQL: NULL where Postgres does not keep it (`track_commit_timestamp`), or no longer.
    ///
    /// - Parameter transaction: The `xmin` of a visible row. Not the row's `xid`: a row that was restored has that of another
    ///   server, and Postgres may take that for anybody's.
    static func committedAt(_ transaction: String) -> String {
        """
        CASE WHEN (SELECT current_setting('track_commit_timestamp') = 'on')
            THEN \(microseconds("pg_xact_commit_timestamp(\(transaction))")) END
        """
    }

    /// Since 1970, as SQL.
    ///
    /// In double precision, which is exact to the microsecond until 2106. `extract` would be of type numeric, and take a tenth of what
    /// a large claim takes.
    static func microseconds(_ timestamp: String) -> String {
        "(date_part('epoch', \(timestamp)) * 1000000)::bigint"
    }

    /// Reads no row of a cache's tables, but fails wherever its look-ups would fail by what these are.
    static func probe(_ rules: any CacheRules, _ tables: AttachedNames) -> [String] {
        let noKeys = """
            WITH seen AS (SELECT * FROM freshet.change WHERE false), depth (cache, collapsed) AS (VALUES (NULL::text, true))
            """
        return (rules.factQueries(tables, ClaimedKeys(cache: rules.name)) ?? []).map { "\(noKeys)\n\($0.sql)" }
    }
}
