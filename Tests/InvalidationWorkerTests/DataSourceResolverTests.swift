import Keyspace
import Testing

@testable import InvalidationWorker

struct DataSourceResolverTests {
    private func scopes(_ changes: DataSourceChange..., facts: DataSourceFacts? = DataSourceFacts()) -> ScopeSet {
        DataSourceResolver.scopes(of: changes, facts: facts)
    }

    private func source(_ id: Int64, from old: (String?, String?)?, to new: (String?, String?)?) -> DataSourceChange {
        DataSourceChange(
            subject: .dataSource,
            operation: old == nil ? "insert" : new == nil ? "delete" : "update",
            dataSourceIDs: [id],
            old: old.map { .init(types: [$0.0], sourceIDs: [$0.1]) },
            new: new.map { .init(types: [$0.0], sourceIDs: [$0.1]) }
        )
    }

    private func linked(_ operation: String, _ pairs: (Int64, Int64)...) -> DataSourceChange {
        DataSourceChange(
            subject: .link,
            operation: operation,
            dataSourceIDs: pairs.map(\.0),
            detectorIDs: pairs.map(\.1)
        )
    }

    private func detector(_ operation: String, _ ids: Int64...) -> DataSourceChange {
        DataSourceChange(subject: .detector, operation: operation, detectorIDs: ids)
    }

    private func entity(_ type: String, _ sourceID: String) -> Entity { .dataSource(type: type, sourceID: sourceID) }

    private func entities(_ entities: Entity...) -> ScopeSet { ScopeSet(entities.map { .entity($0) }) }

    @Test func `a renamed data source invalidates the pair that it had and the pair that it has`() {
        let renamed = source(1, from: ("a", "1"), to: ("b", "2"))
        #expect(scopes(renamed, facts: nil) == entities(entity("a", "1"), entity("b", "2")))
        #expect(scopes(source(1, from: nil, to: ("a", "1")), facts: nil) == entities(entity("a", "1")))
        #expect(scopes(source(1, from: ("a", "1"), to: nil), facts: nil) == entities(entity("a", "1")))
    }

    @Test func `a data source without a type or a source id is in nobody's cache`() {
        #expect(scopes(source(1, from: (nil, "1"), to: ("a", nil)), facts: nil).isEmpty)
        let facts = DataSourceFacts(linked: [1: nil])
        #expect(scopes(linked("insert", (1, 9)), facts: facts).isEmpty)
        #expect(scopes(source(1, from: (nil, nil), to: nil), linked("delete", (1, 9))).isEmpty)
    }

    @Test func `a link invalidates the pair that its data source has now`() {
        let facts = DataSourceFacts(linked: [1: entity("a", "1"), 2: entity("b", "2")])
        let found = scopes(linked("insert", (1, 9), (2, 9)), facts: facts)
        #expect(found == entities(entity("a", "1"), entity("b", "2")))
    }

    @Test func `a link and a concurrent rename are resolved in every pair of the batch and in today's`() {
        let facts = DataSourceFacts(linked: [1: entity("c", "3")])
        let renamed = source(1, from: ("a", "1"), to: ("b", "2"))
        let expected = entities(entity("a", "1"), entity("b", "2"), entity("c", "3"))
        #expect(scopes(linked("insert", (1, 9)), renamed, facts: facts) == expected)
        #expect(scopes(renamed, linked("delete", (1, 9)), facts: facts) == expected)
    }

    @Test func `a data source that is deleted with its links invalidates the pair that it had`() {
        let deleted = source(1, from: ("a", "1"), to: nil)
        #expect(scopes(deleted, linked("delete", (1, 9))) == entities(entity("a", "1")))
        #expect(scopes(linked("delete", (1, 9)), deleted) == entities(entity("a", "1")))
    }

    @Test func `a link of a data source that is nowhere to be seen invalidates the namespace`() {
        #expect(scopes(linked("delete", (1, 9))) == ScopeSet([.namespace]))
        let other = source(2, from: ("a", "1"), to: ("a", "2"))
        #expect(scopes(other, linked("insert", (1, 9))) == ScopeSet([.namespace]))
    }

    @Test(arguments: ["insert", "update", "delete"])
    func `a detector invalidates the pairs of the data sources that feed it`(operation: String) {
        let facts = DataSourceFacts(fed: [entity("a", "1"), entity("b", "2")])
        #expect(scopes(detector(operation, 9), facts: facts) == entities(entity("a", "1"), entity("b", "2")))
        #expect(scopes(detector(operation, 9)).isEmpty)
    }

    @Test func `a pair is invalidated as it was named`() {
        var named = DataSourceChange(subject: .dataSource, operation: "invalidate")
        named.new = .init(types: ["a"], sourceIDs: ["1"])
        #expect(scopes(named, facts: nil) == entities(entity("a", "1")))
    }

    @Test(arguments: ["truncate", "drift", "ddl", "escalation", "attach", "detach", "something newer"])
    func `what names no rows invalidates the namespace`(operation: String) {
        for subject in DataSourceChange.Subject.allCases {
            #expect(scopes(DataSourceChange(subject: subject, operation: operation)) == ScopeSet([.namespace]))
        }
    }

    @Test func `a change that is not as expected invalidates the namespace`() {
        let namespace = ScopeSet([.namespace])
        #expect(scopes(DataSourceChange(subject: nil, operation: "update")) == namespace)
        #expect(scopes(DataSourceChange(subject: .dataSource, operation: "update", dataSourceIDs: [1])) == namespace)
        #expect(scopes(DataSourceChange(subject: .link, operation: "insert", dataSourceIDs: [1])) == namespace)
        var uneven = source(1, from: ("a", "1"), to: ("b", "2"))
        uneven.new?.sourceIDs = []
        #expect(scopes(uneven) == namespace)
        #expect(scopes(DataSourceChange(subject: .dataSource, operation: "invalidate")) == namespace)
    }

    @Test func `without facts a link or a detector invalidates the namespace, and nothing invalidates nothing`() {
        #expect(scopes(linked("insert", (1, 9)), facts: nil) == ScopeSet([.namespace]))
        #expect(scopes(detector("update", 9), facts: nil) == ScopeSet([.namespace]))
        #expect(scopes(facts: nil).isEmpty)
    }

    @Test func `rows of the journal and of the look-ups are read by the names of their columns`() {
        let row = JournalRow(
            subject: "datasource",
            operation: "update",
            integers: ["datasource_ids": [1]],
            texts: ["old_types": ["a"], "old_source_ids": ["1"], "new_types": ["b"], "new_source_ids": [nil]]
        )
        #expect(DataSourceRules().scopes(of: [row], facts: nil) == entities(entity("a", "1")))
        let link = JournalRow(
            subject: "datasource_link",
            operation: "insert",
            integers: ["datasource_ids": [2], "datasource_detector_ids": [9]]
        )
        let facts = [
            FactRow(kind: "linked", number1: 2, text1: "c", text2: "3"),
            FactRow(kind: "fed", text1: "d", text2: "4"),
        ]
        #expect(
            DataSourceRules().scopes(of: [link], facts: facts) == entities(entity("c", "3"), entity("d", "4"))
        )
    }
}
