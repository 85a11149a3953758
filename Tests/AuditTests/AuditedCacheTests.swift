import Freshet
import Keyspace
import Testing

@testable import Audit

@Suite struct AuditedCacheTests {
    @Test func `the key of an entry is the one that readers ask by`() {
        let workflows = WorkflowAudit()
        let sources = DataSourceAudit()
        for key in [
            DetectorWorkflowsKey(detectorID: 17, environment: .global),
            DetectorWorkflowsKey(detectorID: -3, environment: .environment(9)),
        ] {
            #expect(
                workflows.key(of: EntryName(entity: Entity(key.detectorID), variant: key.environment.variant)) == key
            )
        }
        for (type, id) in [("error", "17"), ("a/b", "%41:é {}"), ("", ""), ("e\u{301}", "é")] {
            let entity = Entity.dataSource(type: type, sourceID: id)
            #expect(
                sources.key(of: EntryName(entity: entity, variant: .global)) == DataSourceKey(type: type, sourceID: id)
            )
        }
    }

    @Test func `what no reader writes has no key`() {
        for (entity, variant) in [
            ("01", "-"), ("x", "-"), ("1", "05"), ("1", "+5"), ("1/2", "-"), ("99999999999999999999", "-"),
        ] {
            let name = EntryName(entity: entityOfText(entity), variant: Variant(partOfField: variant))
            #expect(WorkflowAudit().key(of: name) == nil, "\(entity) \(variant)")
        }
        for (entity, variant) in [
            ("a", "-"), ("a/b/c", "-"), ("a/b", "5"), ("a/%4", "-"), ("a/%41", "-"), ("a/%ff", "-"),
        ] {
            let name = EntryName(entity: entityOfText(entity), variant: Variant(partOfField: variant))
            #expect(DataSourceAudit().key(of: name) == nil, "\(entity) \(variant)")
        }
    }

    /// An entity by the end of a key that anybody may have written.
    private func entityOfText(_ text: String) -> Entity {
        let key = "freshet:workflows:{0}:\(text)"
        guard case .entity(let entity)? = CacheNamespace.workflows.subject(ofKey: key.utf8) else { return Entity(0) }
        return entity
    }

    private func row(_ id: Int64, _ name: String, _ environment: Int64? = nil) -> AuditedRow {
        AuditedRow(
            id: id,
            columns: [
                AuditedRow.Column("name", .text(name)), AuditedRow.Column("environment_id", .integer(environment)),
            ]
        )
    }

    @Test func `an entry that a walk returns twice is audited once`() {
        let (first, second) = (
            EntryName(entity: Entity(1), variant: .global), EntryName(entity: Entity(1), variant: Variant(5))
        )
        let entries = [
            CachedEntry(cache: "workflows", name: first), CachedEntry(cache: "datasources", name: first),
            CachedEntry(cache: "workflows", name: second), CachedEntry(cache: "workflows", name: first),
        ]
        #expect(entries.names(of: "workflows") == [first, second])
        #expect(entries.names(of: "datasources") == [first])
    }

    @Test func `values that differ in their order alone are the same`() {
        #expect(ValueDifference(cached: [row(2, "b"), row(1, "a")], database: [row(1, "a"), row(2, "b")]).isEmpty)
        #expect(ValueDifference(cached: [], database: []).isEmpty)
    }

    @Test func `a difference names rows and columns`() {
        let difference = ValueDifference(
            cached: [row(1, "a"), row(2, "b", 5), row(3, "c"), row(3, "c")],
            database: [row(2, "B", 5), row(3, "c"), row(4, "d")]
        )
        #expect(difference.onlyCached == [1, 3] && difference.onlyInDatabase == [4])
        #expect(difference.changed == [ValueDifference.Changed(id: 2, columns: ["name"])])
        #expect(difference.text == "only cached: 1, 3; only in the database: 4; 2 differs in name")
    }

    @Test func `texts are compared byte for byte`() {
        #expect(!ValueDifference(cached: [row(1, "e\u{301}")], database: [row(1, "é")]).isEmpty)
        #expect(!ValueDifference(cached: [row(1, "a", nil)], database: [row(1, "a", 0)]).isEmpty)
    }
}
