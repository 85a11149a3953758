import Keyspace
import Testing

struct EntityTests {
    @Test func `an entity of texts has a key without braces, spaces or separators of its own`() {
        let entity = Entity.dataSource(type: "snuba.query_sub-1", sourceID: "a b{0}:/%é\n")
        #expect(entity.text == "snuba.query_sub-1/a%20b%7B0%7D%3A%2F%25%C3%A9%0A")
        #expect(CacheNamespace.dataSources.key(of: entity) == "freshet:datasources:{0}:\(entity.text)")
    }

    @Test func `different texts are different entities`() {
        let texts = ["", "/", "%", "%2F", "a", "A", "a/", "/a", " ", "é", "e\u{301}", "\u{0}", "-", "null"]
        var seen: Set<String> = []
        for type in texts {
            for sourceID in texts {
                // The bytes are told apart where Swift's own comparison would not.
                #expect(seen.insert(Entity.dataSource(type: type, sourceID: sourceID).text).inserted)
            }
        }
        #expect(seen.count == texts.count * texts.count)
    }

    @Test func `a sibling has the same prefix and as many buckets`() throws {
        let namespace = try CacheNamespace(prefix: "app", name: "flows", bucketCount: 4).sibling(named: "datasources")
        let expected = try CacheNamespace(prefix: "app", name: "datasources", bucketCount: 4)
        #expect(namespace == expected)
    }
}
