// What the doctor looks at, as it was found. Nothing here decides anything: `Diagnosis` does, from these values alone.

package import Keyspace

/// A server, or why there is no asking it.
package enum Examined<Facts: Sendable>: Sendable {
    case reached(Facts)
    /// One line, without a secret.
    case unreachable(String)

    /// The facts, where there are any.
    package var facts: Facts? {
        if case .reached(let facts) = self { facts } else { nil }
    }
}

/// All that was found.
package struct Facts: Sendable {
    package var postgres: Examined<PostgresFacts>
    package var redis: Examined<RedisFacts>
    /// The version of this program.
    package var version: String
    /// The namespace of the first cache.
    package var namespace: CacheNamespace

    package init(
        postgres: Examined<PostgresFacts>,
        redis: Examined<RedisFacts>,
        version: String,
        namespace: CacheNamespace
    ) {
        self.postgres = postgres
        self.redis = redis
        self.version = version
        self.namespace = namespace
    }
}

/// What Postgres says.
package struct PostgresFacts: Sendable {
    /// How the server and our session with it are.
    package struct Server: Sendable {
        package var version = "15.0"
        package var versionNumber: Int64 = 150_000
        package var database = "app"
        /// The role that asks, as it is and as SQL text.
        package var role = "app_worker"
        package var quotedRole = "app_worker"
        package var isInRecovery = false
        package var hasSchema = true
        /// Its clock less ours; half the round trip is the error.
        package var clockDifference: Duration = .zero
        package var clockError: Duration = .zero

        package init() {}
    }

    /// What two sessions saw of each other.
    package struct Sessions: Hashable, Sendable {
        /// Whether the process that served us is the one that we were told of when we connected.
        package var isServedByOwnBackend = true
        /// Whether statements of one session went to several processes, or two sessions to one.
        package var sharesBackends = false
        /// Whether what one session notified arrived at the other that listened; nil where it was not tried.
        package var notificationArrived: Bool?

        package init() {}
    }

    /// Settings of the server and of Freshet.
    package struct Settings: Hashable, Sendable {
        package var maxPreparedTransactions: Int64 = 0
        package var autovacuum = true
        package var trackCounts = true
        package var trackCommitTimestamp = false
        /// `auto`, `on` or `off`; nil where it may not be read.
        package var notify: String? = "auto"
        package var notificationQueueUsage = 0.0

        package init() {}
    }

    package struct Migration: Hashable, Sendable {
        package var name: String
        package var checksum: String

        package init(name: String, checksum: String) {
            self.name = name
            self.checksum = checksum
        }
    }

    /// An attached table.
    package struct Table: Hashable, Sendable {
        package var cache: String
        package var subject: String
        /// As SQL text, qualified.
        package var name: String
        /// As SQL text.
        package var schema = "public"
        package var level = "statement"
        /// The columns by the roles that they play.
        package var columns: [String: String] = [:]
        /// The same columns as SQL text, by their names.
        package var quotedColumns: [String: String] = [:]
        package var exists = true
        package var isOrdinary = true
        /// Parents and children, as SQL text.
        package var relatives: [String] = []
        /// Those that attach made.
        package var triggers: [String] = []
        package var missingTriggers: [String] = []
        /// Those that are not enabled ALWAYS, with `tgenabled`.
        package var disabledTriggers: [String] = []
        package var missingColumns: [String] = []
        package var isSubscribed = false
        package var hasRowSecurity = false
        package var owner = ""
        /// Columns that freshet_worker ought to read and may not, by their names.
        package var unreadableColumns: [String] = []
        package var isSchemaUsable = true
        /// What `freshet.attached` says is wrong; nil where nothing is, or it may not be read.
        package var problem: String?

        package init(cache: String, subject: String, name: String) {
            self.cache = cache
            self.subject = subject
            self.name = name
        }
    }

    /// A trigger that calls Freshet from a table that is not attached.
    package struct StrayTrigger: Hashable, Sendable {
        package var name: String
        package var table: String

        package init(name: String, table: String) {
            self.name = name
            self.table = table
        }
    }

    package struct Function: Hashable, Sendable {
        /// With its arguments, as SQL text.
        package var signature: String
        package var name: String
        package var owner = "freshet_owner"
        package var isTrigger = false
        package var isSecurityDefiner = false
        package var configuration = ["search_path=freshet, pg_temp"]
        package var isPublic = false
        /// Its body.
        package var source = ""

        package init(signature: String, name: String) {
            self.signature = signature
            self.name = name
        }
    }

    /// The schema, or a table, view or sequence of it.
    package struct Relation: Hashable, Sendable {
        package var name: String
        /// `SCHEMA`, `TABLE`, `VIEW` or `SEQUENCE`.
        package var kind = "TABLE"
        package var owner = "freshet_owner"
        package var isUnlogged = false

        package init(name: String) {
            self.name = name
        }
    }

    /// One privilege that somebody has been granted.
    package struct Grant: Hashable, Sendable, Comparable {
        /// As GRANT and REVOKE take it: `TABLE freshet.change`, `FUNCTION freshet.identity()`, `SCHEMA freshet`.
        package var object: String
        /// `SELECT`, `EXECUTE`, and so on.
        package var privilege: String
        /// The column, where it is one of a column.
        package var column: String?
        /// The same as SQL text.
        package var quotedColumn: String?
        /// The role; `PUBLIC` is everybody.
        package var grantee: String
        /// Whether the grantee may grant it on.
        package var isGrantable = false

        package init(_ privilege: String, on object: String, column: String? = nil, to grantee: String) {
            self.object = object
            self.privilege = privilege
            self.column = column
            quotedColumn = column
            self.grantee = grantee
        }

        package static func < (left: Grant, right: Grant) -> Bool {
            (left.object, left.grantee, left.privilege, left.column ?? "")
                < (right.object, right.grantee, right.privilege, right.column ?? "")
        }
    }

    /// One of Freshet's roles.
    package struct Role: Hashable, Sendable {
        package var name: String
        /// Attributes that it has and should not: `LOGIN`, `SUPERUSER`, and so on.
        package var excessAttributes: [String] = []
        /// Roles that it is a member of.
        package var memberOf: [String] = []

        package init(name: String) {
            self.name = name
        }
    }

    /// Somebody who is a member of one of Freshet's roles, directly or not.
    package struct Member: Hashable, Sendable {
        package var role: String
        package var name: String
        package var canLogIn = true
        package var isSuperuser = false
        package var bypassesRowSecurity = false
        /// What else it is a member of itself, as SQL text.
        package var otherRoles: [String] = []

        package init(role: String, name: String) {
            self.role = role
            self.name = name
        }
    }

    package struct Journal: Hashable, Sendable {
        /// At most ``countedRows``.
        package var rows: Int64 = 0
        package var oldestSeconds: Double?

        /// Rows are not counted beyond this.
        package static let countedRows: Int64 = 1_000_000

        package init() {}
    }

    /// The journal as a table.
    package struct JournalTable: Hashable, Sendable {
        package var options: [String] = []
        package var toastOptions: [String] = []
        /// Whether the storage parameters switch autovacuum off, however that is spelt.
        package var isAutovacuumOff = false
        package var isToastAutovacuumOff = false
        package var hasFullReplicaIdentity = true
        package var hasIndex = true
        package var deadRows: Int64 = 0
        package var bytes: Int64 = 0
        package var vacuumedSeconds: Double?
        package var vacuumCount: Int64 = 0

        package init() {}
    }

    package struct OpenTransaction: Hashable, Sendable {
        package var processIdentifier: Int64
        package var role: String
        package var application: String
        package var state: String
        package var seconds: Double

        package init(processIdentifier: Int64, role: String, application: String, state: String, seconds: Double) {
            self.processIdentifier = processIdentifier
            self.role = role
            self.application = application
            self.state = state
            self.seconds = seconds
        }

        /// Why a role does not see those of others.
        package static func hidden(from role: String) -> String {
            "role \(role) does not see the transactions of others: it lacks pg_read_all_stats"
        }
    }

    package struct PreparedTransaction: Hashable, Sendable {
        package var name: String
        package var owner: String
        package var seconds: Double

        package init(name: String, owner: String, seconds: Double) {
            self.name = name
            self.owner = owner
            self.seconds = seconds
        }
    }

    package struct ReplicationSlot: Hashable, Sendable {
        package var name: String
        package var isActive: Bool
        /// How many transactions old what it holds back is; nil where it holds back nothing.
        package var rowAge: Int64?
        /// The same, of the catalogs.
        package var catalogAge: Int64?

        package init(name: String, isActive: Bool, rowAge: Int64?, catalogAge: Int64?) {
            self.name = name
            self.isActive = isActive
            self.rowAge = rowAge
            self.catalogAge = catalogAge
        }
    }

    /// A standby that has no slot and holds back vacuum for its queries.
    package struct Standby: Hashable, Sendable {
        package var name: String
        /// How many transactions old what it holds back is.
        package var rowAge: Int64

        package init(name: String, rowAge: Int64) {
            self.name = name
            self.rowAge = rowAge
        }
    }

    package struct Leader: Hashable, Sendable {
        package var processIdentifier: Int64
        package var role: String?
        package var isSuperuser: Bool

        package init(processIdentifier: Int64, role: String?, isSuperuser: Bool) {
            self.processIdentifier = processIdentifier
            self.role = role
            self.isSuperuser = isSuperuser
        }
    }

    package var server = Server()
    package var sessions: Checked<Sessions> = .known(Sessions())
    package var settings: Checked<Settings> = .known(Settings())
    package var identity: Checked<String> = .known("1/1/a")
    /// Those of the ledger.
    package var migrations: Checked<[Migration]> = .known([])
    /// Those that this program carries, in the order of application.
    package var carriedMigrations: Checked<[Migration]> = .known([])
    package var tables: Checked<[Table]> = .known([])
    package var strayTriggers: Checked<[StrayTrigger]> = .known([])
    package var functions: Checked<[Function]> = .known([])
    package var relations: Checked<[Relation]> = .known([])
    /// Those that the migrations of this program create, by signature.
    package var carriedFunctions: [String: CarriedFunction] = [:]
    /// The checksum of each trigger function's body without the names of columns, by the function's name.
    package var generated: Checked<[String: String]> = .known([:])
    /// What freshet_owner ought to have on what it owns in schema freshet, and does not.
    package var missingOfOwner: Checked<[Grant]> = .known([])
    /// On what is in schema freshet, and on the schema; without those of the owners.
    package var schemaGrants: Checked<[Grant]> = .known([])
    /// Of Freshet's roles and of the worker's logins themselves, on anything else.
    package var tableGrants: Checked<[Grant]> = .known([])
    package var roles: Checked<[Role]> = .known([])
    package var members: Checked<[Member]> = .known([])
    package var leader: Checked<Leader?> = .known(nil)
    package var journal: Checked<Journal> = .known(Journal())
    package var journalTable: Checked<JournalTable> = .known(JournalTable())
    package var openTransactions: Checked<[OpenTransaction]> = .known([])
    package var preparedTransactions: Checked<[PreparedTransaction]> = .known([])
    package var replicationSlots: Checked<[ReplicationSlot]> = .known([])
    package var standbys: Checked<[Standby]> = .known([])
    /// How many of the two event triggers are there and enabled ALWAYS, and how many are there at all.
    package var eventTriggers: Checked<[Bool]> = .known([])
    /// The mark of each cache, as Postgres remembers it, where it was the same before and after Redis was asked.
    package var marks: Checked<[String: String?]> = .known([:])

    package init() {}
}

/// What Redis says.
package struct RedisFacts: Sendable {
    /// Where it is, as far as that matters.
    package struct Address: Hashable, Sendable {
        /// Without a secret.
        package var url = "redis://127.0.0.1:6379"
        /// What a person types to send it a command; a password comes from `REDISCLI_AUTH`.
        package var commandLine = "redis-cli"
        package var isLocal = true
        package var isEncrypted = false
        package var database = 0

        package init() {}
    }

    package struct Clock: Hashable, Sendable {
        /// Its clock less ours.
        package var difference: Duration
        /// Half the round trip.
        package var error: Duration

        package init(difference: Duration, error: Duration) {
            self.difference = difference
            self.error = error
        }
    }

    /// A command on a key of the kind that it is used with.
    package struct Right: Hashable, Sendable {
        /// Who needs it.
        package enum Purpose: String, Hashable, Sendable {
            case worker, stranger
        }

        package var purpose: Purpose
        package var command: String
        package var isGranted: Bool

        package init(purpose: Purpose, command: String, isGranted: Bool) {
            self.purpose = purpose
            self.command = command
            self.isGranted = isGranted
        }
    }

    /// The head of a cache.
    package struct CacheHead: Sendable {
        /// Whether there is something under its key that is no head.
        package var isDamaged = false
        package var head = Head.absent
        package var mark: String?
        /// Whether the mark was the same before and after Postgres was asked.
        package var isMarkSteady = true
        /// The time by its own clock.
        package var now = RedisTime(microseconds: 0)

        package init() {}
    }

    package var address = Address()
    package var clock: Checked<Clock> = .unknown("not asked")
    package var user: Checked<String> = .known("default")
    /// The fields of INFO.
    package var info: Checked<[String: String]> = .known([:])
    /// The parameters of CONFIG GET.
    package var settings: Checked<[String: String]> = .known([:])
    /// The error of a script that does nothing; nil where it ran.
    package var scriptError: String?
    package var rights: Checked<[Right]> = .known([])
    /// By cache.
    package var heads: [String: Checked<CacheHead>] = [:]

    package init() {}
}
