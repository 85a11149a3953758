// What was applied, as a record that is kept beside the cache for a while. Rows of the journal are gone once they are applied; these are
// what people see of them afterwards, from anywhere that reaches Redis.
//
// The JSON is a contract: `freshet watch --json` prints it as it is stored, on one line. Names are only ever added; who reads it skips
// what it does not know. Times are in microseconds since 1970, as the names say.
//
// | name | |
// |---|---|
// | `v` | 1; a reader passes over records of another version |
// | `namespace` | where the cache lives: `freshet:workflows` |
// | `at_us` | when everything was invalidated, by the clock of Postgres, or by the worker's where `latency_us` is missing |
// | `changed_at_us` | when the trigger ran, by the clock of Postgres; of several changes the first |
// | `committed_at_us` | when the change committed, where Postgres keeps that (`track_commit_timestamp`) |
// | `latency_us` | from the commit, or else from the trigger, to `at_us`; of several changes the longest |
// | `table` | the part that the table plays: `detector`, `workflow`, `link`; `datasource`, `datasource_link`, `datasource_detector`; or `entry`, `namespace`; `several` |
// | `operation` | `insert`, `update`, `delete`, `truncate`, `invalidate`, `drift`, `ddl`, `escalation`, `attach`, `detach`; `collapse` of a backlog too large to take apart; `reset` where Redis did not hold what the worker had left; `acknowledge` where triggers had changed; `several` |
// | `application`, `user` | the writer's `application_name` and role; missing where there is none |
// | `rows` | how many rows the statements touched |
// | `changes` | how many rows of the journal the record stands for |
// | `bumps` | how many generations were raised: the record's share of what its pass raised, the shares adding up |
// | `invalidated` | see ``InvalidatedScopes`` |

/// A change that a worker has applied, or several folded into one.
package struct AppliedChange: Hashable, Sendable {
    /// The version of the JSON.
    package static let version = 1
    /// What `table` and `operation` say of changes that were folded and had nothing in common.
    package static let several = "several"
    /// What `table` may say.
    package static let tables = [
        "detector", "workflow", "link", "datasource", "datasource_link", "datasource_detector", "entry", "namespace",
        several,
    ]
    /// What `operation` may say.
    package static let operations = [
        "insert", "update", "delete", "truncate", "invalidate", "drift", "ddl", "escalation", "attach", "detach",
        "collapse", "reset", "acknowledge", several,
    ]

    package var namespace: String
    package var atMicroseconds: Int64
    package var changedAtMicroseconds: Int64?
    package var committedAtMicroseconds: Int64?
    package var latencyMicroseconds: Int64?
    package var table: String
    package var operation: String
    package var application: String?
    package var user: String?
    package var rows: Int64
    package var changes: Int64
    package var bumps: Int64
    package var invalidated: InvalidatedScopes

    package init(
        namespace: String,
        atMicroseconds: Int64,
        table: String,
        operation: String,
        rows: Int64,
        changes: Int64,
        bumps: Int64 = 0,
        invalidated: InvalidatedScopes = InvalidatedScopes()
    ) {
        self.namespace = namespace
        self.atMicroseconds = atMicroseconds
        self.table = table
        self.operation = operation
        self.rows = rows
        self.changes = changes
        self.bumps = bumps
        self.invalidated = invalidated
    }
}

extension AppliedChange: Codable {
    private enum Name: String, CodingKey {
        case version = "v"
        case namespace
        case at = "at_us"
        case changedAt = "changed_at_us"
        case committedAt = "committed_at_us"
        case latency = "latency_us"
        case table, operation, application, user, rows, changes, bumps, invalidated
    }

    /// - Throws: `DecodingError`, also for a record of another version, and for a count below zero.
    package init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: Name.self)
        let version = try values.decode(Int.self, forKey: .version)
        guard version == Self.version else {
            throw DecodingError.dataCorruptedError(forKey: .version, in: values, debugDescription: "version \(version)")
        }
        self.init(
            namespace: try values.decode(String.self, forKey: .namespace),
            atMicroseconds: try values.decode(Int64.self, forKey: .at),
            table: try values.decode(String.self, forKey: .table),
            operation: try values.decode(String.self, forKey: .operation),
            rows: try values.decodeCount(forKey: .rows),
            changes: try values.decodeCount(forKey: .changes),
            bumps: try values.decodeCount(forKey: .bumps),
            invalidated: try values.decode(InvalidatedScopes.self, forKey: .invalidated)
        )
        changedAtMicroseconds = try values.decodeIfPresent(Int64.self, forKey: .changedAt)
        committedAtMicroseconds = try values.decodeIfPresent(Int64.self, forKey: .committedAt)
        latencyMicroseconds = try values.decodeIfPresent(Int64.self, forKey: .latency)
        application = try values.decodeIfPresent(String.self, forKey: .application)
        user = try values.decodeIfPresent(String.self, forKey: .user)
    }

    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: Name.self)
        try values.encode(Self.version, forKey: .version)
        try values.encode(namespace, forKey: .namespace)
        try values.encode(atMicroseconds, forKey: .at)
        try values.encodeIfPresent(changedAtMicroseconds, forKey: .changedAt)
        try values.encodeIfPresent(committedAtMicroseconds, forKey: .committedAt)
        try values.encodeIfPresent(latencyMicroseconds, forKey: .latency)
        try values.encode(table, forKey: .table)
        try values.encode(operation, forKey: .operation)
        try values.encodeIfPresent(application, forKey: .application)
        try values.encodeIfPresent(user, forKey: .user)
        try values.encode(rows, forKey: .rows)
        try values.encode(changes, forKey: .changes)
        try values.encode(bumps, forKey: .bumps)
        try values.encode(invalidated, forKey: .invalidated)
    }
}
