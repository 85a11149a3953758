import Testing

@testable import Keyspace

struct CacheNamespaceTests {
    @Test func `keys of a bucket share one slot of Redis Cluster`() throws {
        let namespace = try CacheNamespace(prefix: "p", name: "n", bucketCount: 16)
        let entity = Entity(17)
        let bucket = namespace.bucket(of: entity)
        #expect(namespace.headKey(bucket: bucket) == "p:n:{\(bucket)}")
        #expect(namespace.key(of: entity) == "p:n:{\(bucket)}:17")
        #expect(CacheNamespace.workflows.key(of: entity) == "freshet:workflows:{0}:17")
    }

    @Test func `buckets are stable, because readers in other languages compute them too`() throws {
        let namespace = try CacheNamespace(bucketCount: 16)
        // 64-bit FNV-1a of "1", "17" and "-5"; the published vector for "a" is 0xaf63dc4c8601ec8c.
        #expect(namespace.bucket(of: Entity(1)) == Int(0xaf63ac4c86019afc % 16 as UInt64))
        #expect(namespace.bucket(of: Entity(17)) == Int(0x07f89107b4ba06f1 % 16 as UInt64))
        #expect(namespace.bucket(of: Entity(-5)) == Int(0x07d00f07b497d7f7 % 16 as UInt64))
        #expect(Set((1...1_000).map { namespace.bucket(of: Entity(Int64($0))) }) == Set(0..<16))
    }

    @Test(arguments: ["", "a b", "a{b", "a}b", "ü", "a\n"])
    func `a prefix or namespace that cannot be part of a key is refused with its value`(value: String) {
        #expect(throws: InvalidCacheNamespace(part: "prefix", value: value)) { try CacheNamespace(prefix: value) }
        #expect(throws: InvalidCacheNamespace(part: "namespace", value: value)) { try CacheNamespace(name: value) }
        #expect("\(InvalidCacheNamespace(part: "prefix", value: value))".contains("\"\(value)\""))
    }

    @Test func `an identity is read from its text`() throws {
        let identity = try #require(PostgresIdentity("7123/2/abc"))
        #expect(identity.timeline == 2)
        #expect(identity.incarnation == "abc")
        #expect(identity.description == "7123/2/abc")
        #expect(PostgresIdentity("7123/2/-")?.incarnation == nil)
        #expect(PostgresIdentity("replica") == nil)
        #expect(PostgresIdentity("7123/x/abc") == nil)
        #expect(PostgresIdentity("") == nil)
    }

    @Test func `a server is behind if and only if a later timeline of the same cluster is known`() throws {
        let old = try #require(PostgresIdentity("1/1/a"))
        let promoted = try #require(PostgresIdentity("1/2/b"))
        let other = try #require(PostgresIdentity("9/5/c"))
        #expect(old.isBehind(promoted))
        #expect(!promoted.isBehind(old))
        #expect(!old.isBehind(old))
        #expect(!old.isBehind(other))
    }
}
