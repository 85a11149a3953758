import Foundation
import Keyspace
import Testing

/// The vectors for implementers in other languages, which were written by an implementation of its own.
struct VectorTests {
    private struct Vectors: Decodable {
        struct OneGeneration: Decodable { var text, counter, nonce, bytes: String }
        struct OneEntry: Decodable {
            var namespace, entity: String
            var variant: String?
            var readAt, payload, bytes: String
        }
        struct NoEntry: Decodable { var about, bytes: String }
        struct Key: Decodable {
            var prefix, name, entity, variant, hash, head, bump, key, claim: String
            var bucketCount, bucket: Int
        }

        var generations: [OneGeneration]
        var noGenerations: [String]
        var entries: [OneEntry]
        var noEntries: [NoEntry]
        var keys: [Key]
    }

    private let vectors: Vectors

    init() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let file = root.appending(path: "Sources/Freshet/Freshet.docc/Resources/keyspace-vectors.json")
        vectors = try JSONDecoder().decode(Vectors.self, from: Data(contentsOf: file))
    }

    private func bytes(_ hexadecimal: String) throws -> [UInt8] {
        let digits = Array(hexadecimal)
        return try stride(from: 0, to: digits.count, by: 2).map { index in
            try #require(UInt8(String(digits[index...index + 1]), radix: 16))
        }
    }

    @Test func `generations are those of the vectors`() throws {
        #expect(!vectors.generations.isEmpty && !vectors.noGenerations.isEmpty)
        for vector in vectors.generations {
            let generation = try #require(Generation(vector.text))
            #expect(String(generation.counter) == vector.counter)
            #expect(Generation.nonceText(generation.nonce) == vector.nonce)
            #expect(generation.description == vector.text)
        }
        for text in vectors.noGenerations { #expect(Generation(text) == nil, "\(text)") }
    }

    @Test func `entries are those of the vectors, to the byte`() throws {
        #expect(!vectors.entries.isEmpty)
        for vector in vectors.entries {
            let stamp = EntryStamp(
                namespace: try #require(Generation(vector.namespace)),
                entity: try #require(Generation(vector.entity)),
                variant: try vector.variant.map { try #require(Generation($0)) },
                readAt: RedisTime(microseconds: try #require(Int64(vector.readAt)))
            )
            let entry = Entry(stamp: stamp, payload: try bytes(vector.payload)[...])
            #expect(EntryCodec.encode(entry) == (try bytes(vector.bytes)))
            #expect(try EntryCodec.decode(bytes(vector.bytes)) == entry)
        }
    }

    @Test func `what the vectors call damage is damage`() throws {
        #expect(!vectors.noEntries.isEmpty)
        for vector in vectors.noEntries {
            let bytes = try bytes(vector.bytes)
            #expect(throws: EntryDamage.self, "\(vector.about)") { try EntryCodec.decode(bytes) }
        }
    }

    @Test func `keys and buckets are those of the vectors`() throws {
        #expect(!vectors.keys.isEmpty)
        for vector in vectors.keys {
            let namespace = try CacheNamespace(
                prefix: vector.prefix,
                name: vector.name,
                bucketCount: vector.bucketCount
            )
            let entity = Entity(try #require(Int64(vector.entity)))
            let variant = Int64(vector.variant).map { Variant($0) } ?? .global
            #expect(namespace.bucket(of: entity) == vector.bucket)
            #expect(namespace.headKey(bucket: vector.bucket) == vector.head)
            #expect(namespace.bumpKey(bucket: vector.bucket) == vector.bump)
            #expect(namespace.key(of: entity) == vector.key)
            #expect(namespace.claimKey(of: entity, variant) == vector.claim)
        }
    }
}
