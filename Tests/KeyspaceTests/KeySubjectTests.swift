import Testing

@testable import Keyspace

struct KeySubjectTests {
    private func subject(_ key: String, bucketCount: Int = 4) throws -> KeySubject? {
        try CacheNamespace(prefix: "p", name: "n", bucketCount: bucketCount).subject(ofKey: Array(key.utf8))
    }

    @Test func `the keys that a reader may be told of are found again by their names`() throws {
        let namespace = try CacheNamespace(prefix: "p", name: "n", bucketCount: 4)
        let entity = Entity(17)
        #expect(namespace.subject(ofKey: namespace.key(of: entity).utf8) == .entity(entity))
        for bucket in namespace.buckets {
            #expect(namespace.subject(ofKey: namespace.bumpKey(bucket: bucket).utf8) == .namespaceBump)
            #expect(namespace.subject(ofKey: namespace.headKey(bucket: bucket).utf8) == nil)
        }
    }

    @Test(arguments: [
        "", "p:n:", "p:n:{0", "p:n:{x}:1", "p:n:{4}:1", "p:n:{0}.gem", "p:m:{0}:1", "q:n:{0}.gen",
        "p:n:{+1}:1", "p:n:{01}.gen",
    ])
    func `other keys are nobody's`(key: String) throws {
        #expect(try subject(key) == nil)
    }

    @Test func `no entity can have the name of the key for bumps`() throws {
        #expect(try subject("p:n:{0}:.gen") == .entity(Entity(partOfKey: ".gen")))
        #expect(try subject("p:n:{0}.gen") == .namespaceBump)
    }
}
