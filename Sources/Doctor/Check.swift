/// Everything that is looked at, in the order in which it is told.
///
/// The raw values are what programs know the checks by; they do not change.
package enum Check: String, Hashable, Sendable, CaseIterable {
    case postgresReachable = "postgres.reachable"
    case postgresVersion = "postgres.version"
    case postgresRecovery = "postgres.recovery"
    case postgresPooler = "postgres.pooler"
    case postgresNotifications = "postgres.notifications"
    case postgresNotificationQueue = "postgres.notification_queue"
    case postgresNotifySetting = "postgres.notify_setting"
    case postgresClock = "postgres.clock"
    case postgresCommitTimestamps = "postgres.track_commit_timestamp"

    case schemaInstalled = "schema.installed"
    case schemaMigrations = "schema.migrations"
    case schemaFunctions = "schema.functions"
    case schemaOwnership = "schema.ownership"
    case schemaEventTrigger = "schema.event_trigger"

    case tablesAttached = "tables.attached"
    case tablesTriggers = "tables.triggers"
    case tablesKind = "tables.kind"
    case tablesColumns = "tables.columns"
    case tablesLevel = "tables.level"
    case tablesRowSecurity = "tables.row_security"
    case tablesStrayTriggers = "tables.stray_triggers"

    case rolesAttributes = "roles.attributes"
    case rolesMembers = "roles.members"
    case rolesSchemaPrivileges = "roles.schema_privileges"
    case rolesTablePrivileges = "roles.table_privileges"

    case workerLeader = "worker.leader"
    case journalBacklog = "journal.backlog"
    case journalDefinition = "journal.definition"
    case journalAutovacuum = "journal.autovacuum"
    case journalDeadRows = "journal.dead_rows"
    case vacuumTransactions = "vacuum.long_transactions"
    case vacuumPrepared = "vacuum.prepared_transactions"
    case vacuumSlots = "vacuum.replication_slots"

    case redisReachable = "redis.reachable"
    case redisVersion = "redis.version"
    case redisRole = "redis.role"
    case redisCluster = "redis.cluster"
    case redisScripts = "redis.scripts"
    case redisRights = "redis.rights"
    case redisExcessRights = "redis.excess_rights"
    case redisMemory = "redis.memory"
    case redisEviction = "redis.eviction"
    case redisPersistence = "redis.persistence"
    case redisEncryption = "redis.encryption"
    case redisListpack = "redis.listpack"
    case redisClock = "redis.clock"

    case cacheHead = "cache.head"
    case cacheSwitch = "cache.switch"
    case cacheLease = "cache.lease"
    case cachePostgres = "cache.postgres"
    case cacheMark = "cache.mark"

    /// Whether nothing can be said of the whole where this could not be checked: what these find wrong keeps changes from the journal or
    /// in it, fails the application's writes, or leaves the cache without a promise.
    package var isDecisive: Bool {
        switch self {
        case .schemaInstalled, .schemaFunctions, .schemaOwnership, .tablesAttached, .tablesTriggers, .tablesKind,
            .tablesColumns, .tablesLevel, .workerLeader, .journalBacklog, .cacheHead, .cacheSwitch, .cacheLease:
            true
        default: false
        }
    }

    /// What the check belongs to: the word before the dot.
    package var area: String { String(rawValue.prefix { $0 != "." }) }

    /// The word behind the dot, for people.
    package var title: String {
        String(rawValue.drop { $0 != "." }.dropFirst()).replacing("_", with: " ")
    }
}
