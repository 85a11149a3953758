import Doctor
import Keyspace

/// Facts of an installation with which nothing is wrong, to be spoiled in one place.
struct Healthy {
    var postgres = PostgresFacts()
    var redis = RedisFacts()

    init() {
        postgres.sessions = .known(Self.sessions { $0.notificationArrived = true })
        postgres.migrations = .known([PostgresFacts.Migration(name: "m0001_roles", checksum: "a")])
        postgres.carriedMigrations = postgres.migrations
        postgres.tables = .known(Self.tables)
        postgres.schemaGrants = .known(Array(DocumentedGrants.inSchema))
        postgres.tableGrants = .known([
            PostgresFacts.Grant("USAGE", on: "SCHEMA public", to: "freshet_worker"),
            PostgresFacts.Grant("SELECT", on: "TABLE public.workflow", column: "id", to: "freshet_worker"),
            PostgresFacts.Grant("SELECT", on: "TABLE public.workflow", column: "environment_id", to: "freshet_worker"),
            PostgresFacts.Grant("SELECT", on: "TABLE public.link", column: "detector_id", to: "freshet_worker"),
            PostgresFacts.Grant("SELECT", on: "TABLE public.link", column: "workflow_id", to: "freshet_worker"),
        ])
        postgres.roles = .known(DocumentedGrants.roles.map { PostgresFacts.Role(name: $0) })
        postgres.members = .known([PostgresFacts.Member(role: "freshet_worker", name: "app_worker")])
        postgres.leader = .known(PostgresFacts.Leader(processIdentifier: 7, role: "app_worker", isSuperuser: false))
        postgres.functions = .known([Self.function { _ in }])
        postgres.carriedFunctions = [Self.wake.signature: Self.wake]
        postgres.relations = .known([PostgresFacts.Relation(name: "freshet.change")])
        postgres.journalTable = .known(Self.journalTable)
        postgres.marks = .known(["workflows": "m"])

        redis.clock = .known(RedisFacts.Clock(difference: .zero, error: .zero))
        redis.info = .known([
            "redis_version": "7.0.15", "role": "master", "cluster_enabled": "0", "used_memory": "1000",
            "maxmemory": "1000000", "maxmemory_policy": "volatile-lru", "rdb_last_bgsave_status": "ok",
            "aof_enabled": "0", "aof_last_write_status": "ok", "loading": "0",
        ])
        redis.settings = .known(["hash-max-listpack-value": "1024", "save": ""])
        redis.rights = .known([
            RedisFacts.Right(purpose: .worker, command: "HSET freshet:workflows:{0}", isGranted: true),
            RedisFacts.Right(purpose: .stranger, command: "FLUSHALL", isGranted: false),
        ])
        redis.heads = ["workflows": .known(Self.head)]
    }

    static func sessions(_ change: (inout PostgresFacts.Sessions) -> Void) -> PostgresFacts.Sessions {
        var sessions = PostgresFacts.Sessions()
        change(&sessions)
        return sessions
    }

    static let wake = CarriedFunction(
        signature: "freshet.wake()",
        source: "BEGIN END",
        declaration: "freshet.wake() RETURNS void LANGUAGE plpgsql"
    )

    static func function(_ change: (inout PostgresFacts.Function) -> Void) -> PostgresFacts.Function {
        var function = PostgresFacts.Function(signature: wake.signature, name: "wake")
        function.source = wake.source
        change(&function)
        return function
    }

    static let tables: [PostgresFacts.Table] = {
        var detector = PostgresFacts.Table(cache: "workflows", subject: "detector", name: "public.detector")
        detector.columns = ["id": "id"]
        var workflow = PostgresFacts.Table(cache: "workflows", subject: "workflow", name: "public.workflow")
        workflow.columns = ["id": "id", "environment": "environment_id"]
        var link = PostgresFacts.Table(cache: "workflows", subject: "link", name: "public.link")
        link.columns = ["detector": "detector_id", "workflow": "workflow_id"]
        return [detector, workflow, link]
    }()

    static let journalTable: PostgresFacts.JournalTable = {
        var table = PostgresFacts.JournalTable()
        table.options = [
            "autovacuum_vacuum_scale_factor=0", "autovacuum_vacuum_threshold=2000",
            "autovacuum_vacuum_insert_scale_factor=0", "autovacuum_vacuum_insert_threshold=10000",
            "autovacuum_analyze_scale_factor=0", "autovacuum_analyze_threshold=10000",
            "autovacuum_vacuum_cost_delay=0", "vacuum_truncate=false",
        ]
        table.toastOptions = [
            "autovacuum_vacuum_scale_factor=0", "autovacuum_vacuum_threshold=2000", "autovacuum_vacuum_cost_delay=0",
            "vacuum_truncate=false",
        ]
        return table
    }()

    static let head: RedisFacts.CacheHead = {
        var head = RedisFacts.CacheHead()
        head.head = Head(fields: ["1.0123456789abcdef", "1000000", "5000", "1/1/a", nil])
        head.mark = "m"
        head.now = RedisTime(microseconds: 2_000_000)
        return head
    }()

    /// What the doctor thinks of it.
    func findings(_ limits: DoctorLimits = DoctorLimits()) -> [Finding] {
        Diagnosis(
            Facts(postgres: .reached(postgres), redis: .reached(redis), version: "1.0", namespace: .workflows),
            limits: limits
        ).findings
    }

    /// The findings that are neither well nor for information.
    func troubles(_ limits: DoctorLimits = DoctorLimits()) -> [Finding] {
        findings(limits).filter { ![.well, .information].contains($0.severity) }
    }
}
