// What the auditor must know of a cache: one value, in one file. Scan, verdict and report know no cache; they work over a list of
// these. To add a cache is to write one, and to name it in `all`. What readers and worker know of it stands in its
// `CacheDefinition` and in its `CacheRules`.

import Freshet
import Keyspace
import Postgres

/// A cache as it is audited.
protocol AuditedCache: Sendable {
    /// How readers ask.
    associatedtype Key: Hashable & Sendable

    /// As `freshet.cache` has it; the cache's namespace in Redis ends with it.
    var name: String { get }

    /// The key whose entry it is; nil where no reader writes such an entry.
    func key(of entry: EntryName) -> Key?

    /// The rows in the bytes of an entry; whatever it throws counts as damaged, hence as served to nobody.
    func rows(in payload: ArraySlice<UInt8>) throws -> [AuditedRow]

    /// The rows of each key in the database, from one statement, with what `freshet.identity()` says in its snapshot.
    ///
    /// - Parameter tables: The attached tables by the part that they play, as SQL text.
    func load(
        _ keys: [Key],
        from tables: [String: String],
        on connection: PostgresConnection
    ) async throws -> LoadedValues<Key, [AuditedRow]>

    /// The statement that journals an invalidation of a key, and returns the id of the journal's row.
    func invalidation(of key: Key) -> (sql: String, parameters: [PostgresParameter])
}

/// The caches that are audited where they are attached, in the order in which a worker serves them.
enum AuditedCaches {
    static let all: [any AuditedCache] = [WorkflowAudit(), DataSourceAudit()]
}

extension LoadedValues {
    /// The same with other values.
    func mapValues<Other>(_ transform: (Value) -> Other) -> LoadedValues<Key, Other> {
        LoadedValues<Key, Other>(values: values.mapValues(transform), postgres: postgres, rowCount: rowCount)
    }
}
