// What the worker must know of a cache: one value, in one file. Claim, plan and bump know no cache; they work over a list of
// these. To add a cache is to declare it in a migration, to write its rules, and to name them in `all`.

package import Keyspace

/// The rules of one cache.
package protocol CacheRules: Sendable {
    /// As `freshet.cache` has it; the cache's namespace in Redis ends with it.
    var name: String { get }

    /// The columns of the journal that the cache records in.
    var journalColumns: [JournalColumn] { get }

    /// The statements that look up, in the snapshot of the claim, what a batch cannot be resolved without.
    ///
    /// - Returns: Nil where the tables that it takes are not among the attached ones.
    func factQueries(_ tables: AttachedNames, _ claimed: ClaimedKeys) -> [FactQuery]?

    /// What a batch invalidates: a pure function of the batch and of facts of the same snapshot.
    ///
    /// - Parameter facts: Nil where they could not be looked up. Then whatever would need them invalidates the namespace.
    func scopes(of rows: [JournalRow], facts: [FactRow]?) -> ScopeSet
}

/// The caches that a worker serves where they are attached.
package enum Caches {
    package static let all: [any CacheRules] = [WorkflowRules(), DataSourceRules()]
}

/// A cache, and where it lives in Redis.
struct ServedCache: Sendable {
    var rules: any CacheRules
    var namespace: CacheNamespace

    var name: String { rules.name }

    /// The caches of a worker: the first in the namespace that the worker was given, each other beside it.
    ///
    /// - Throws: ``WorkerError`` where that is the namespace of another.
    static func all(firstIn namespace: CacheNamespace) throws(WorkerError) -> [ServedCache] {
        var caches: [ServedCache] = []
        for rules in Caches.all {
            let own = caches.isEmpty ? namespace : namespace.sibling(named: rules.name)
            if let other = caches.first(where: { $0.namespace == own }) {
                throw .namespaceTaken(own, by: rules.name, and: other.name)
            }
            caches.append(ServedCache(rules: rules, namespace: own))
        }
        return caches
    }
}

/// A column of the journal, an array.
package struct JournalColumn: Hashable, Sendable {
    enum Kind: Hashable, Sendable { case integers, texts }

    var name: String
    var kind: Kind

    static func integers(_ name: String) -> JournalColumn { JournalColumn(name: name, kind: .integers) }
    static func texts(_ name: String) -> JournalColumn { JournalColumn(name: name, kind: .texts) }
}

/// One row of the journal `freshet.change`: what a statement did, as facts.
package struct JournalRow: Hashable, Sendable {
    /// A table of the cache, by the part it plays there; or something a person asked for.
    package var subject: String
    /// `insert`, `update`, `delete`, `truncate`, `invalidate`, `drift`, `ddl`, `escalation`, `attach` or `detach`.
    var operation: String
    /// How many rows the statement touched.
    var rowCount: Int64 = 0
    /// When the trigger ran, in microseconds since 1970 by the clock of Postgres.
    var changedAtMicroseconds: Int64 = 0
    /// When its transaction committed, by the same clock; nil where Postgres does not keep it.
    var committedAtMicroseconds: Int64?
    /// The `application_name` of the writer.
    var applicationName: String?
    /// The writer's role.
    var userName: String?
    /// What its notification called it, where that told of the row; nobody can have known it before the row was visible.
    var hint: String?
    /// The columns of the cache that hold integers; one that is NULL is left out.
    package var integers: ColumnValues<[Int64?]> = [:]
    /// The columns of the cache that hold texts; one that is NULL is left out.
    var texts: ColumnValues<[String?]> = [:]
}

/// The values of some columns, by name: so few that looking at one after the other is quicker than to hash.
///
/// Two are equal where they have the same columns in the same order.
package struct ColumnValues<Value: Hashable & Sendable>: Hashable, Sendable, ExpressibleByDictionaryLiteral {
    private struct Column: Hashable, Sendable {
        var name: String
        var value: Value
    }

    private var columns: [Column] = []

    /// Values by name; that a name stands twice is a programming error.
    package init(dictionaryLiteral elements: (String, Value)...) {
        for (name, value) in elements {
            precondition(self[name] == nil, "column \(name) stands twice")
            self[name] = value
        }
    }

    /// The value of a column; nil where it has none.
    package subscript(name: String) -> Value? {
        get { columns.first { $0.name == name }?.value }
        set {
            let place = columns.firstIndex { $0.name == name }
            switch (place, newValue) {
            case (let place?, let value?): columns[place].value = value
            case (let place?, nil): columns.remove(at: place)
            case (nil, let value?): columns.append(Column(name: name, value: value))
            case (nil, nil): break
            }
        }
    }
}

extension JournalRow {
    /// A row that somebody else than the statement of the claim has made.
    package init(
        of subject: String,
        operation: String,
        rowCount: Int64,
        hint: String? = nil,
        integers: ColumnValues<[Int64?]>
    ) {
        self.init(subject: subject, operation: operation, rowCount: rowCount, hint: hint, integers: integers)
    }
}

/// One row of a ``FactQuery``.
package struct FactRow: Hashable, Sendable {
    /// Which of the cache's queries it comes from.
    package var kind: String
    var number1: Int64?
    var number2: Int64?
    var text1: String?
    var text2: String?

    package init(
        kind: String,
        number1: Int64? = nil,
        number2: Int64? = nil,
        text1: String? = nil,
        text2: String? = nil
    ) {
        self.kind = kind
        self.number1 = number1
        self.number2 = number2
        self.text1 = text1
        self.text2 = text2
    }
}

/// A look-up that is part of the claim statement.
package struct FactQuery: Hashable, Sendable {
    /// Told with each row.
    var kind: String
    /// A SELECT of two bigint, then two text.
    var sql: String
    /// Whether there can be more rows than keys were claimed: so many that it is cheaper to bump the namespace.
    var fansOut: Bool
}

/// The keys that rows of the journal name, as SQL, for the look-ups of one cache.
package struct ClaimedKeys {
    private let expression: (_ column: String, _ subject: String) -> String

    /// The keys as somebody else writes them.
    init(_ expression: @escaping (_ column: String, _ subject: String) -> String) {
        self.expression = expression
    }

    /// The keys that a claim took.
    ///
    /// None where the backlog is not resolved change by change.
    init(cache: String) {
        self.init { column, subject in
            """
            ARRAY(SELECT DISTINCT touched.key FROM seen, unnest(seen.\(column)) AS touched (key)
                WHERE coalesce(seen.cache, '\(cache)') = '\(cache)' AND seen.subject = '\(subject)'
                    AND NOT (SELECT collapsed FROM depth WHERE depth.cache = '\(cache)'))
            """
        }
    }

    /// An array, without repetitions, of what a column of the journal holds in the rows of a subject.
    func array(_ column: String, of subject: String) -> String { expression(column, subject) }
}

/// The attached tables of one cache: names as SQL text, quoted where they must be.
package struct AttachedNames: Hashable, Sendable {
    struct Table: Hashable, Sendable {
        var name: String
        /// The names of the columns by role.
        var columns: [String: String]
    }

    /// The tables by subject.
    var tables: [String: Table] = [:]
    /// The rows of `freshet.attachment` that these names come from, as text.
    var attachments = ""

    /// A table, and the names of its columns in the order of these roles; nil where one is missing.
    func table(_ subject: String, _ roles: String...) -> (name: String, columns: [String])? {
        guard let table = tables[subject] else { return nil }
        let columns = roles.compactMap { table.columns[$0] }
        return columns.count == roles.count ? (table.name, columns) : nil
    }
}
