/// Where one cache lives in Redis: the names of its keys, and which bucket an entity belongs to.
///
/// | key | type | content |
/// |---|---|---|
/// | `<prefix>:<name>:{<bucket>}` (head) | hash | `gen` `mark` `vouched` `lease` `pg` `snapshot` `hinted` `switch` |
/// | `<prefix>:<name>:{<bucket>}.gen` | string | `gen` of the last bump of the namespace, and written by it alone |
/// | `<prefix>:<name>:{<bucket>}:<entity>` | hash, TTL | `g`, `g:<variant>` generations; `e:<variant>` entries |
/// | `<prefix>:<name>:{<bucket>}:<entity>:c:<variant>` | string, TTL | who is loading the variant |
/// | `<prefix>:<name>:{0}.changes` | stream, TTL | what was applied lately, for people |
///
/// The braces make a bucket one slot of Redis Cluster with a head of its own, so a transaction or a script that stays in
/// a bucket stays on a node.
public struct CacheNamespace: Hashable, Sendable {
    /// The key prefix that keeps Freshet apart from others in the same Redis.
    public let prefix: String
    /// The name of the cache, for example `workflows`.
    public let name: String
    /// The number of buckets, at least 1.
    ///
    /// Every reader and worker of a namespace must use the same number.
    public let bucketCount: Int

    /// A namespace, by default `freshet:workflows` with one bucket.
    ///
    /// - Throws: ``InvalidCacheNamespace`` where a part is empty or has a character that is not a letter, a digit, `.`,
    ///   `_`, `-` or `:`, or where there is no bucket.
    public init(
        prefix: String = "freshet",
        name: String = "workflows",
        bucketCount: Int = 1
    )
        throws(InvalidCacheNamespace)
    {
        for (part, value) in [("prefix", prefix), ("namespace", name)] where !Self.isWellFormed(value) {
            throw InvalidCacheNamespace(part: part, value: value)
        }
        guard bucketCount > 0 else { throw InvalidCacheNamespace(part: "bucket count", value: String(bucketCount)) }
        self.init(wellFormedPrefix: prefix, name: name, bucketCount: bucketCount)
    }

    private init(wellFormedPrefix prefix: String, name: String, bucketCount: Int) {
        self.prefix = prefix
        self.name = name
        self.bucketCount = bucketCount
    }

    /// `freshet:workflows`, one bucket.
    public static let workflows = CacheNamespace(wellFormedPrefix: "freshet", name: "workflows", bucketCount: 1)

    /// The namespace of another cache behind the same prefix, with as many buckets.
    ///
    /// - Parameter name: As for ``init(prefix:name:bucketCount:)``; another is a programming error.
    public func sibling(named name: String) -> CacheNamespace {
        precondition(Self.isWellFormed(name), "namespace \"\(name)\"")
        return CacheNamespace(wellFormedPrefix: prefix, name: name, bucketCount: bucketCount)
    }

    /// The buckets, in order.
    public var buckets: Range<Int> { 0..<bucketCount }

    /// The key of a bucket's head.
    public func headKey(bucket: Int) -> String {
        // Put together by hand: an interpolation takes five times as long, and a fill needs one for every entity.
        prefix + ":" + name + ":{" + String(bucket) + "}"
    }

    /// The key that is written when the namespace is bumped, and at no other time, for readers that have Redis tell them.
    ///
    /// The head itself would tell them of every pass. Nobody relies on its value. No entity has this name, because theirs go
    /// on with a colon.
    public func bumpKey(bucket: Int) -> String {
        "\(headKey(bucket: bucket)).gen"
    }

    /// The key that holds an entity's generations and entries.
    public func key(of entity: Entity) -> String {
        entityKeyPrefix(bucket: bucket(of: entity)) + entity.text
    }

    /// What the keys of all entities of a bucket begin with; the entity's text follows.
    public func entityKeyPrefix(bucket: Int) -> String {
        headKey(bucket: bucket) + ":"
    }

    /// The key that says who is loading a variant of an entity.
    public func claimKey(of entity: Entity, _ variant: Variant) -> String {
        "\(key(of: entity)):c:\(variant.text)"
    }

    /// The bucket of an entity: 64-bit FNV-1a of its text, modulo the number of buckets.
    ///
    /// FNV-1a as in draft-eastlake-fnv: offset basis 14695981039346656037, prime 1099511628211.
    public func bucket(of entity: Entity) -> Int {
        guard bucketCount > 1 else { return 0 }
        var hash: UInt64 = 14_695_981_039_346_656_037
        for byte in entity.text.utf8 {
            hash = (hash ^ UInt64(byte)) &* 1_099_511_628_211
        }
        return Int(hash % UInt64(bucketCount))
    }

    private static func isWellFormed(_ part: String) -> Bool {
        !part.isEmpty
            && part.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"):
                    true
                case UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: ":"): true
                default: false
                }
            }
    }
}

extension CacheNamespace: CustomStringConvertible {
    /// `<prefix>:<name>`.
    public var description: String { "\(prefix):\(name)" }
}

/// A prefix or namespace that cannot be part of a key.
public struct InvalidCacheNamespace: Error, Equatable, CustomStringConvertible {
    /// Which part is wrong.
    public let part: String
    /// What was given.
    public let value: String

    /// One line: the thing, the value, the mend.
    public var description: String {
        part == "bucket count"
            ? "bucket count \(value): give a number of at least 1"
            : "\(part) \"\(value)\": use letters, digits and . _ - : only, at least one"
    }
}
