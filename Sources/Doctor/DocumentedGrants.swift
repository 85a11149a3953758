// Who may do what in schema freshet, when everything is as the migrations leave it. The tests hold this list against a fresh
// installation, and the roles against what they may and may not do.

/// The privileges that the migrations grant, and no others.
package enum DocumentedGrants {
    /// The roles that Freshet creates.
    package static let roles = ["freshet_owner", "freshet_worker", "freshet_reader", "freshet_auditor"]

    /// What a login of the worker may be a member of beside, because it audits, reads, or looks at statistics as well.
    static let rolesOfWorkers: Set<String> = [
        "freshet_worker", "freshet_reader", "freshet_auditor", "pg_monitor", "pg_read_all_stats",
        "pg_read_all_settings",
    ]

    /// Everything granted on the schema and in it, to others than the owner.
    package static let inSchema: Set<PostgresFacts.Grant> = {
        var grants: Set<PostgresFacts.Grant> = []
        func grant(_ privileges: String..., on objects: [String], to roles: String...) {
            for (privilege, object) in privileges.flatMap({ privilege in objects.map { (privilege, $0) } }) {
                for role in roles { grants.insert(PostgresFacts.Grant(privilege, on: object, to: role)) }
            }
        }
        grant("USAGE", on: ["SCHEMA freshet"], to: "freshet_worker", "freshet_reader", "freshet_auditor")
        grant(
            "SELECT",
            on: ["change", "setting", "incarnation", "fence", "migration", "attachment", "attached"].map {
                "TABLE freshet.\($0)"
            },
            to: "freshet_worker"
        )
        grant("DELETE", on: ["TABLE freshet.change"], to: "freshet_worker")
        grant("UPDATE", on: ["TABLE freshet.fence"], to: "freshet_worker")
        grant("INSERT", "UPDATE", "DELETE", on: ["TABLE freshet.incarnation"], to: "freshet_worker")
        grant("SELECT", on: ["TABLE freshet.change", "TABLE freshet.attachment"], to: "freshet_auditor")
        grant(
            "EXECUTE",
            on: ["FUNCTION freshet.identity()"],
            to: "freshet_worker",
            "freshet_reader",
            "freshet_auditor"
        )
        grant("EXECUTE", on: ["FUNCTION freshet.token()"], to: "freshet_worker", "freshet_reader")
        grant(
            "EXECUTE",
            on: [
                "FUNCTION freshet.notify_enabled()", "FUNCTION freshet.invalidate_all()",
                "FUNCTION freshet.invalidate_detector(bigint)", "FUNCTION freshet.invalidate_detector(bigint, bigint)",
                "FUNCTION freshet.invalidate_datasource(text, text)",
            ],
            to: "freshet_worker"
        )
        return grants
    }()

    /// The functions that run as their owner: what the roles are granted, and what triggers call.
    static let securityDefiners: Set<String> = [
        "identity", "token", "notify_enabled", "invalidate_all", "invalidate_detector", "invalidate_datasource",
        "ddl_changed",
    ]

    /// What every function of the schema is set to.
    static let functionConfiguration = ["search_path=freshet, pg_temp"]

    /// The storage parameters of the journal, and those of its TOAST table.
    static let journalOptions = [
        "autovacuum_vacuum_scale_factor=0", "autovacuum_vacuum_threshold=2000",
        "autovacuum_vacuum_insert_scale_factor=0", "autovacuum_vacuum_insert_threshold=10000",
        "autovacuum_analyze_scale_factor=0", "autovacuum_analyze_threshold=10000",
        "autovacuum_vacuum_cost_delay=0", "vacuum_truncate=false",
    ]
    static let journalToastOptions = [
        "autovacuum_vacuum_scale_factor=0", "autovacuum_vacuum_threshold=2000", "autovacuum_vacuum_cost_delay=0",
        "vacuum_truncate=false",
    ]
}
