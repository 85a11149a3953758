// The cache `datasources`: which detectors a data source feeds. The entity is the pair of a data source's type and source_id,
// by which readers ask; there is one variant, `-`.
//
// From what a batch changed to what must be invalidated: a pure function of the batch and of facts that were read in the very
// snapshot that the batch was claimed in. Why that snapshot, and why a batch is everything visible, WorkflowRules says; a data
// source is renamed here as a workflow is moved there.
//
// * A data source changed: the pair that it had and the pair that it has.
// * A link changed: every pair that this batch records for its data source, and the pair that it has now. Two transactions, one
//   linking a detector, one renaming the data source, do not see each other: whichever order they commit in, either both rows
//   are in one batch, or the later one is claimed in a snapshot that shows the earlier one's effect. Where the data source is
//   in neither, nobody knows under which pair it was read: the namespace.
// * A detector changed: the pairs of the data sources that it is linked with now. Those that it was linked with or unlinked from
//   in this batch are covered by the link's own change.
// * Truncate, drift, DDL, escalation: the namespace.

package import Keyspace

/// The rules of the cache `datasources`.
package struct DataSourceRules: CacheRules {
    package let name = "datasources"

    package let journalColumns: [JournalColumn] = [
        .integers("datasource_ids"), .integers("datasource_detector_ids"),
        .texts("old_types"), .texts("new_types"), .texts("old_source_ids"), .texts("new_source_ids"),
    ]

    package func factQueries(_ tables: AttachedNames, _ claimed: ClaimedKeys) -> [FactQuery]? {
        guard let source = tables.table("datasource", "id", "type", "source"),
            let link = tables.table("datasource_link", "datasource", "detector")
        else { return nil }
        let (id, type, sourceID) = (source.columns[0], source.columns[1], source.columns[2])
        return [
            // The data sources that the batch links or unlinks: id, and its pair.
            FactQuery(
                kind: "linked",
                sql: """
                    SELECT source.\(id)::bigint, NULL::bigint, source.\(type)::text, source.\(sourceID)::text
                    FROM \(source.name) AS source
                    WHERE source.\(id) = ANY (\(claimed.array("datasource_ids", of: "datasource_link")))
                    """,
                fansOut: false
            ),
            // The data sources of the detectors that the batch changes: their pairs.
            FactQuery(
                kind: "fed",
                sql: """
                    SELECT NULL::bigint, NULL::bigint, source.\(type)::text, source.\(sourceID)::text
                    FROM \(link.name) AS link JOIN \(source.name) AS source ON source.\(id) = link.\(link.columns[0])
                    WHERE link.\(link.columns[1]) = ANY (\(
                        claimed.array("datasource_detector_ids", of: "datasource_detector")))
                    """,
                fansOut: true
            ),
        ]
    }

    package func scopes(of rows: [JournalRow], facts: [FactRow]?) -> ScopeSet {
        DataSourceResolver.scopes(of: rows.map { DataSourceChange($0) }, facts: facts.map { DataSourceFacts($0) })
    }
}

/// One row of the journal, as the cache records it.
struct DataSourceChange: Hashable, Sendable {
    /// What was changed.
    enum Subject: String, Hashable, Sendable, CaseIterable {
        case dataSource = "datasource"
        case link = "datasource_link"
        case detector = "datasource_detector"
        case namespace
    }

    /// What was changed; nil where a newer schema writes something that this worker does not know.
    var subject: Subject?
    /// `insert`, `update`, `delete`, `truncate`, `invalidate`, `drift`, `ddl`, `escalation`, `attach` or `detach`.
    var operation: String
    /// Of a data source: the rows' ids; empty where a person named a pair.
    ///
    /// Of a link: the data sources of the pairs.
    var dataSourceIDs: [Int64?] = []
    /// Of a detector: the rows' ids.
    ///
    /// Of a link: the detectors of the pairs, parallel to `dataSourceIDs`.
    var detectorIDs: [Int64?] = []
    /// Of a data source: what its columns were before, parallel to `dataSourceIDs`; nil where there was no row.
    var old: Names?
    /// Of a data source: what its columns are after, parallel to `dataSourceIDs`; nil where the rows are gone.
    var new: Names?

    /// The two columns that readers ask by, row by row.
    struct Names: Hashable, Sendable {
        var types: [String?]
        var sourceIDs: [String?]
    }
}

extension DataSourceChange {
    init(_ row: JournalRow) {
        subject = Subject(rawValue: row.subject)
        operation = row.operation
        dataSourceIDs = row.integers["datasource_ids"] ?? []
        detectorIDs = row.integers["datasource_detector_ids"] ?? []
        old = Names(types: row.texts["old_types"], sourceIDs: row.texts["old_source_ids"])
        new = Names(types: row.texts["new_types"], sourceIDs: row.texts["new_source_ids"])
    }
}

extension DataSourceChange.Names {
    fileprivate init?(types: [String?]?, sourceIDs: [String?]?) {
        if types == nil && sourceIDs == nil { return nil }
        self.init(types: types ?? [], sourceIDs: sourceIDs ?? [])
    }
}

/// What was looked up in the snapshot of the claim.
struct DataSourceFacts: Hashable, Sendable {
    /// The pairs, in that snapshot, of the data sources that the batch links or unlinks.
    ///
    /// A data source that does not exist has no key; the value of one that no reader can name is nil.
    var linked: [Int64: Entity?] = [:]
    /// The pairs of the data sources that feed a detector of the batch.
    var fed: Set<Entity> = []
}

extension DataSourceFacts {
    init(_ rows: [FactRow]) {
        for row in rows {
            let entity = Entity(type: row.text1, sourceID: row.text2)
            switch row.kind {
            case "linked":
                guard let id = row.number1 else { continue }
                linked.updateValue(entity, forKey: id)
            default:
                if let entity { fed.insert(entity) }
            }
        }
    }
}

/// Decides what a batch of changes invalidates.
enum DataSourceResolver {
    /// The scopes to bump for the changes of one batch.
    ///
    /// - Parameter facts: Looked up in the snapshot of the claim; nil where they could not be. Then whatever would need
    ///   them invalidates the namespace.
    static func scopes(of changes: some Sequence<DataSourceChange>, facts: DataSourceFacts?) -> ScopeSet {
        var scopes = ScopeSet()
        /// The pairs that the batch records for a data source.
        var recorded: [Int64: Set<Entity>] = [:]
        var linked: Set<Int64> = []
        var needsFacts = false

        for change in changes {
            if coversNamespace(change) { return ScopeSet([.namespace]) }
            switch change.subject {
            case .dataSource:
                // Also one without a pair: then no reader has it.
                for id in change.dataSourceIDs.compactMap(\.self) { recorded[id] = recorded[id] ?? [] }
                for names in [change.old, change.new] {
                    guard let names else { continue }
                    for index in names.types.indices {
                        guard let entity = Entity(type: names.types[index], sourceID: names.sourceIDs[index])
                        else { continue }
                        scopes.insert(.entity(entity))
                        if change.dataSourceIDs.indices.contains(index), let id = change.dataSourceIDs[index] {
                            recorded[id, default: []].insert(entity)
                        }
                    }
                }
            case .link:
                linked.formUnion(change.dataSourceIDs.compactMap(\.self))
                needsFacts = needsFacts || !change.dataSourceIDs.isEmpty
            case .detector:
                needsFacts = needsFacts || !change.detectorIDs.isEmpty
            case .namespace, nil:
                return ScopeSet([.namespace])
            }
        }

        if !needsFacts { return scopes }
        guard let facts else { return ScopeSet([.namespace]) }
        for id in linked {
            // What the batch records is among the scopes already.
            if let current = facts.linked[id] {
                if let current { scopes.insert(.entity(current)) }
            } else if recorded[id] == nil {
                return ScopeSet([.namespace])
            }
        }
        for entity in facts.fed { scopes.insert(.entity(entity)) }
        return scopes
    }

    /// Whether a change invalidates the namespace by its kind, or because it is not as this worker knows it.
    private static func coversNamespace(_ change: DataSourceChange) -> Bool {
        let names = [change.old, change.new].compactMap(\.self)
        switch (change.subject, change.operation) {
        case (.dataSource, "insert"), (.dataSource, "update"), (.dataSource, "delete"):
            return names.isEmpty
                || names.contains {
                    $0.types.count != change.dataSourceIDs.count || $0.sourceIDs.count != change.dataSourceIDs.count
                }
        case (.dataSource, "invalidate"):
            return names.isEmpty || names.contains { $0.types.count != $0.sourceIDs.count }
        case (.link, "insert"), (.link, "update"), (.link, "delete"):
            return change.dataSourceIDs.count != change.detectorIDs.count
        case (.detector, "insert"), (.detector, "update"), (.detector, "delete"):
            return false
        default:
            return true
        }
    }
}

extension Entity {
    /// The entity of a row's two columns; nil where one is NULL, because no reader asks for that.
    fileprivate init?(type: String?, sourceID: String?) {
        guard let type, let sourceID else { return nil }
        self = .dataSource(type: type, sourceID: sourceID)
    }
}
