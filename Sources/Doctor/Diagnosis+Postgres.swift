extension Diagnosis {
    /// The server, and the way to it.
    func server(_ postgres: PostgresFacts) -> [Finding] {
        let server = postgres.server
        var found: [Finding] = []
        found.append(
            server.versionNumber < 140_000
                ? Finding(
                    .postgresVersion,
                    .problem,
                    "Postgres \(server.version)",
                    why: "Freshet needs 14 or later",
                    mend: .advice("upgrade Postgres")
                )
                : Finding(.postgresVersion, .well, "Postgres \(server.version)")
        )
        found.append(
            server.isInRecovery
                ? Finding(
                    .postgresRecovery,
                    .problem,
                    "this Postgres is a standby",
                    why:
                        "a worker works on the primary only, and much of what is checked here cannot be seen on a standby",
                    mend: .advice(
                        "name all hosts in --postgres; the worker finds the primary: "
                            + "host=a.example,b.example target_session_attrs=read-write"
                    )
                )
                : Finding(.postgresRecovery, .well, "a primary")
        )
        found += check(.postgresPooler, postgres.sessions, pooler)
        found += check(.postgresNotifications, postgres.sessions) { sessions in
            switch sessions.notificationArrived {
            case true?: [Finding(.postgresNotifications, .well, "a NOTIFY of one session arrived at another")]
            case nil:
                [
                    unchecked(
                        .postgresNotifications,
                        server.isInRecovery
                            ? "a standby takes no LISTEN"
                            : "not tried through a pooler, where a LISTEN would stay behind"
                    )
                ]
            case false?:
                [
                    Finding(
                        .postgresNotifications,
                        .problem,
                        "a NOTIFY of one session did not arrive at another within "
                            + Figure.age(SessionExamination.notificationTimeLimit.inSeconds),
                        why: "the worker hears of a change only when it looks by itself, once a second",
                        mend: .advice("give --postgres the address of Postgres itself")
                    )
                ]
            }
        }
        found += check(.postgresNotificationQueue, postgres.settings) { settings in
            let share =
                "\(Int((settings.notificationQueueUsage * 100).rounded())) % of the notification queue is in use"
            guard settings.notificationQueueUsage > limits.notificationQueue / 5 else {
                return [Finding(.postgresNotificationQueue, .well, share)]
            }
            let isFull = settings.notificationQueueUsage > limits.notificationQueue
            return [
                Finding(
                    .postgresNotificationQueue,
                    isFull ? .problem : .advice,
                    share,
                    why: isFull
                        ? "the triggers do not notify any more, so changes wait for the next poll; "
                            + "a full queue fails commits of everybody else who notifies"
                        : "a session that listens has been in a transaction for long; over one half the triggers stop notifying",
                    mend: .sql(Self.endOldestTransaction)
                )
            ]
        }
        if server.hasSchema { found += check(.postgresNotifySetting, postgres.settings) { [notifySetting($0)] } }
        found += [clock(.postgresClock, "Postgres", server.clockDifference, server.clockError)]
        found += check(.postgresCommitTimestamps, postgres.settings) { settings in
            [
                Finding(
                    .postgresCommitTimestamps,
                    .information,
                    settings.trackCommitTimestamp
                        ? "on: how long a commit took to be applied can be told exactly"
                        : "off: how long a change took is told from the time of its trigger, not of its commit"
                )
            ]
        }
        return found
    }

    // The session that keeps the queue from moving is one that listens, in a transaction. Nothing tells who listens: the oldest
    // transaction it is.
    private static let endOldestTransaction = """
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' \
        AND pid <> pg_backend_pid() AND xact_start = (SELECT min(xact_start) FROM pg_stat_activity \
        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid());
        """

    private func pooler(_ sessions: PostgresFacts.Sessions) -> [Finding] {
        guard sessions.sharesBackends || !sessions.isServedByOwnBackend else {
            return [Finding(.postgresPooler, .well, "each session has a process of its own")]
        }
        return [
            Finding(
                .postgresPooler,
                .problem,
                sessions.sharesBackends
                    ? "a pooler is in front of Postgres, and lends sessions by transaction or statement"
                    : "a pooler is in front of Postgres: another process serves this session than it was told",
                why: "the worker listens and holds a lock, and both need a session of their own; it refuses to start",
                mend: .advice("give --postgres the address of Postgres itself, not of the pooler")
            )
        ]
    }

    private func notifySetting(_ settings: PostgresFacts.Settings) -> Finding {
        let prepared = "max_prepared_transactions = \(settings.maxPreparedTransactions)"
        switch settings.notify {
        case nil: return unchecked(.postgresNotifySetting, "freshet.setting may not be read by this role; \(prepared)")
        case "on"? where settings.maxPreparedTransactions > 0:
            return Finding(
                .postgresNotifySetting,
                .problem,
                "notify = on, and \(prepared)",
                why:
                    "PREPARE TRANSACTION fails after any change of an attached table: a prepared transaction cannot notify",
                mend: .sql("UPDATE freshet.setting SET value = 'auto' WHERE name = 'notify';")
            )
        case "off"? where settings.maxPreparedTransactions == 0:
            return Finding(
                .postgresNotifySetting,
                .advice,
                "notify = off, and \(prepared)",
                why: "the worker looks for changes every 100 ms instead of being woken",
                mend: .sql("UPDATE freshet.setting SET value = 'auto' WHERE name = 'notify';")
            )
        case let notify?:
            return Finding(
                .postgresNotifySetting,
                settings.maxPreparedTransactions > 0 ? .information : .well,
                "notify = \(notify), \(prepared)"
                    + (settings.maxPreparedTransactions > 0 ? ": the worker looks for changes every 100 ms" : "")
            )
        }
    }

    /// A server's clock beside ours.
    func clock(_ check: Check, _ server: String, _ difference: Duration, _ error: Duration) -> Finding {
        let size = difference < .zero ? .zero - difference : difference
        guard size > limits.clockDifference + error else {
            return Finding(
                check,
                .well,
                "the clock of \(server) is ours, within \(Figure.age((size + error).inSeconds))"
            )
        }
        return Finding(
            check,
            .advice,
            "the clock of \(server) is \(Figure.age(size.inSeconds)) \(difference > .zero ? "ahead of" : "behind") ours",
            why: "nothing relies on clocks being equal, but times in logs and reports cannot be compared, "
                + "and one that is stepped back makes readers distrust the cache for a while",
            mend: .advice("synchronise the hosts' clocks (chrony, systemd-timesyncd)")
        )
    }

    /// What is installed.
    func schema(_ postgres: PostgresFacts) -> [Finding] {
        guard postgres.server.hasSchema else {
            return [
                Finding(
                    .schemaInstalled,
                    .problem,
                    "there is no schema freshet in database \(postgres.server.database)",
                    why: "no change is journaled, so nothing is ever invalidated",
                    mend: .shell("freshet migrate")
                )
            ]
        }
        var found = [Finding(.schemaInstalled, .well, "schema freshet is there")]
        found += check(.schemaMigrations, postgres.migrations) { ledger in
            check(.schemaMigrations, postgres.carriedMigrations) { carried in migrations(ledger, carried) }
        }
        found += check(.schemaFunctions, postgres.functions) { functions($0, postgres) }
        found += check(.schemaOwnership, postgres.relations, ownership)
        found += check(.schemaEventTrigger, postgres.eventTriggers) { [eventTrigger($0)] }
        return found
    }

    private func migrations(
        _ ledger: [PostgresFacts.Migration],
        _ carried: [PostgresFacts.Migration]
    ) -> [Finding] {
        var found: [Finding] = []
        let missing = carried.filter { own in !ledger.contains { $0.name == own.name } }.map(\.name)
        let strange = ledger.filter { applied in !carried.contains { $0.name == applied.name } }.map(\.name)
        let edited = ledger.filter { applied in
            carried.contains { $0.name == applied.name && $0.checksum != applied.checksum }
        }.map(\.name)
        if !missing.isEmpty {
            found.append(
                Finding(
                    .schemaMigrations,
                    .problem,
                    "not applied: \(Figure.list(missing))",
                    why: "this freshet (\(facts.version)) is newer than the schema, and relies on what is missing",
                    mend: .shell("freshet migrate")
                )
            )
        }
        if !strange.isEmpty {
            found.append(
                Finding(
                    .schemaMigrations,
                    .problem,
                    "applied, and unknown to this freshet (\(facts.version)): \(Figure.list(strange))",
                    why: "the schema is newer than this program, which may misread it",
                    mend: .advice("install the version of freshet that migrated the schema, or a later one")
                )
            )
        }
        if !edited.isEmpty {
            found.append(
                Finding(
                    .schemaMigrations,
                    .problem,
                    "applied from a file with other contents: \(Figure.list(edited))",
                    why: "nobody knows what is installed, and freshet migrate refuses to go on",
                    mend: .advice(
                        "install the version of freshet that applied them; put changes into migrations of their own"
                    )
                )
            )
        }
        return found.orWell(
            .schemaMigrations,
            "\(ledger.count) migrations, up to \(ledger.last?.name ?? "none"), as freshet \(facts.version) has them"
        )
    }

    private func functions(_ functions: [PostgresFacts.Function], _ postgres: PostgresFacts) -> [Finding] {
        var found: [Finding] = []
        let carried = carriesItsFunctions(postgres) ? postgres.carriedFunctions : [:]
        for function in carried.values.sorted(by: { $0.signature < $1.signature })
        where !functions.contains(where: { $0.signature == function.signature }) {
            let grants = DocumentedGrants.inSchema.filter { $0.object == "FUNCTION \(function.signature)" }.sorted()
            let statements =
                [
                    function.statement, "ALTER FUNCTION \(function.signature) OWNER TO freshet_owner;",
                    "REVOKE ALL ON FUNCTION \(function.signature) FROM PUBLIC;",
                ] + grants.map { "GRANT \($0.privilege) ON \($0.object) TO \($0.grantee);" }
            found.append(
                Finding(
                    .schemaFunctions,
                    .problem,
                    subject: function.signature,
                    "\(function.signature) is not there",
                    why: "what calls it fails: everybody's writes, the worker, or whoever attaches tables",
                    mend: .sql(statements.joined(separator: " "))
                )
            )
        }
        for function in functions {
            var wrong: [String] = []
            var mends: [String] = []
            if let mend = mendOfBody(function, carried[function.signature], postgres) {
                wrong.append("has another body than freshet \(facts.version) gives it")
                mends.append(mend)
            }
            if function.owner != "freshet_owner" {
                wrong.append("belongs to \(function.owner)")
                mends.append("ALTER FUNCTION \(function.signature) OWNER TO freshet_owner;")
            }
            let isDefiner = function.isTrigger || DocumentedGrants.securityDefiners.contains(function.name)
            if function.isSecurityDefiner != isDefiner {
                wrong.append(isDefiner ? "runs as its caller" : "runs as its owner")
                mends.append("ALTER FUNCTION \(function.signature) SECURITY \(isDefiner ? "DEFINER" : "INVOKER");")
            }
            if function.configuration != DocumentedGrants.functionConfiguration {
                let settings =
                    function.configuration.isEmpty ? "nothing" : function.configuration.joined(separator: "; ")
                wrong.append("has \(settings) set, not search_path=freshet, pg_temp")
                mends.append(
                    "ALTER FUNCTION \(function.signature) RESET ALL; "
                        + "ALTER FUNCTION \(function.signature) SET search_path = freshet, pg_temp;"
                )
            }
            if function.isPublic {
                wrong.append("may be called by everybody")
                mends.append("REVOKE ALL ON FUNCTION \(function.signature) FROM PUBLIC;")
            }
            guard !wrong.isEmpty else { continue }
            found.append(
                Finding(
                    .schemaFunctions,
                    .problem,
                    subject: function.signature,
                    "\(function.signature) \(wrong.joined(separator: ", "))",
                    why:
                        "it runs in everybody's writes: with another body, owner, path or caller it fails there, journals nothing, "
                        + "or does what somebody else wants with the owner's rights",
                    mend: .sql(mends.joined(separator: " "))
                )
            )
        }
        return found.orWell(
            .schemaFunctions,
            "\(functions.count) functions belong to freshet_owner, with a search_path of their own, none for PUBLIC"
        )
    }

    /// Whether the functions ought to be those of this program's migrations.
    ///
    /// Of an older or newer schema it does not know them, and that is told with the migrations. A ledger that may not be read is taken
    /// to be in order.
    private func carriesItsFunctions(_ postgres: PostgresFacts) -> Bool {
        guard case .known(let ledger) = postgres.migrations, case .known(let carried) = postgres.carriedMigrations
        else {
            return true
        }
        return Set(ledger) == Set(carried)
    }

    /// What gives a function its body back; nil where it has the right one, or nobody knows which that is.
    private func mendOfBody(
        _ function: PostgresFacts.Function,
        _ carried: CarriedFunction?,
        _ postgres: PostgresFacts
    ) -> String? {
        if let carried { return carried.source == function.source ? nil : carried.statement }
        guard carriesItsFunctions(postgres), function.isTrigger, let body = postgres.generated.value?[function.name],
            let tables = postgres.tables.value,
            let table = tables.first(where: { $0.triggers.contains("freshet_\(function.name)") }),
            body != GeneratedFunction.checksums[function.name]
        else { return nil }
        // It compares bodies, and generates those anew that differ.
        return AttachStatement.text(attaching: table.cache, tables)
    }

    private func ownership(_ relations: [PostgresFacts.Relation]) -> [Finding] {
        var found: [Finding] = []
        // The sequence of an identity column goes with its table.
        for relation in relations where relation.owner != "freshet_owner" && relation.kind != "SEQUENCE" {
            found.append(
                Finding(
                    .schemaOwnership,
                    .problem,
                    subject: relation.name,
                    "\(relation.kind == "SCHEMA" ? "schema " : "")\(relation.name) belongs to \(relation.owner)",
                    why:
                        "the triggers write as freshet_owner: without the right to, every write of the application fails",
                    mend: .sql("ALTER \(relation.kind) \(relation.name) OWNER TO freshet_owner;")
                )
            )
        }
        for relation in relations where relation.name == "freshet.incarnation" && !relation.isUnlogged {
            found.append(
                Finding(
                    .schemaOwnership,
                    .problem,
                    subject: relation.name,
                    "\(relation.name) is not UNLOGGED",
                    why: "it survives a crash, so commits that a crash has lost would not be noticed",
                    mend: .sql("ALTER TABLE \(relation.name) SET UNLOGGED;")
                )
            )
        }
        return found.orWell(.schemaOwnership, "the schema and what is in it belong to freshet_owner")
    }

    private func eventTrigger(_ enabled: [Bool]) -> Finding {
        if enabled.isEmpty {
            return Finding(
                .schemaEventTrigger,
                .information,
                "not installed: DDL that comes and goes between two looks of the worker is not journaled; "
                    + "a superuser may call freshet.attach_ddl_trigger()"
            )
        }
        if enabled == [true, true] {
            return Finding(.schemaEventTrigger, .well, "installed: DDL on the attached tables is journaled")
        }
        return Finding(
            .schemaEventTrigger,
            .problem,
            "of the two event triggers, \(enabled.count) are there and \(enabled.count { $0 }) enabled ALWAYS",
            why: "who relies on DDL being journaled relies on both",
            mend: .sql("SELECT freshet.attach_ddl_trigger();")
        )
    }
}
