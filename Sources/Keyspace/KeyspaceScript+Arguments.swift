// What the scripts are called with, in the order in which their sources number it.

extension KeyspaceScript {
    /// The arguments of ``seed``.
    public static func seedArguments(_ generation: Generation, limits: KeyspaceLimits) -> [String] {
        [generation.description, String(limits.timeToLive.wholeMilliseconds)]
    }

    /// The arguments of ``fill`` in front of the entry's bytes, and behind them.
    public static func fillArguments(
        stamp: EntryStamp,
        variant: Variant,
        limits: KeyspaceLimits
    ) -> (beforeEntry: [String], afterEntry: [String]) {
        (
            [
                stamp.namespace.description, stamp.entity.description, stamp.variant?.description ?? "",
                variant.text,
            ],
            [
                String(stamp.readAt.microseconds), String(limits.fillAge.wholeMicroseconds),
                String(limits.timeToLive.wholeMilliseconds), String(limits.variantsPerEntity),
            ]
        )
    }

    /// The arguments of ``claim``, in front of the variants.
    ///
    /// - Parameters:
    ///   - seed: For an entity that has no generation yet.
    ///   - age: For how long the claim counts, at least a millisecond.
    public static func claimArguments(
        seed: Generation = .seed(),
        namespace: Generation,
        claimant: String,
        age: Duration,
        limits: KeyspaceLimits
    ) -> [String] {
        seedArguments(seed, limits: limits)
            + [namespace.description, claimant, String(max(1, age.wholeMilliseconds))]
    }

    /// What ``claim`` sets a claim to.
    public static func claim(under stamp: EntryStamp, by claimant: String) -> String {
        "\(stamp.namespace) \(stamp.entity) \(stamp.variant?.description ?? "") \(claimant)"
    }
}

/// One run of ``KeyspaceScript/apply``: what the worker expects of a bucket, and what it does to it.
public struct BucketPass: Equatable, Sendable {
    /// What a head says of who wrote it: compared before anything is changed.
    public struct Fence: Hashable, Sendable {
        /// The mark that the last applied pass left; empty for none.
        public var mark: String
        /// The Postgres identity of the last applied pass; empty for none.
        public var postgres: String

        /// A fence of a mark and an identity, each empty for none.
        public init(mark: String, postgres: String) {
            self.mark = mark
            self.postgres = postgres
        }
    }

    /// What the head must say, or the pass does nothing.
    public var expected: Fence
    /// What the head says afterwards.
    public var next: Fence
    /// The time to vouch for, read before the claim; nil to vouch for nothing.
    public var vouched: RedisTime?
    /// The snapshot that has been applied once this pass is; nil before the last pass of a batch.
    public var snapshot: String?
    /// Whether the namespace is bumped.
    public var bumpsNamespace: Bool
    /// What is bumped of the bucket's entities.
    public var entities: [(entity: Entity, variants: ScopeSet.Variants)]

    /// A pass over one bucket.
    public init(
        expected: Fence,
        next: Fence,
        vouched: RedisTime?,
        snapshot: String?,
        bumpsNamespace: Bool = false,
        entities: [(entity: Entity, variants: ScopeSet.Variants)] = []
    ) {
        self.expected = expected
        self.next = next
        self.vouched = vouched
        self.snapshot = snapshot
        self.bumpsNamespace = bumpsNamespace
        self.entities = entities
    }

    /// Whether two passes expect and do the same.
    public static func == (left: BucketPass, right: BucketPass) -> Bool {
        left.expected == right.expected && left.next == right.next && left.vouched == right.vouched
            && left.snapshot == right.snapshot && left.bumpsNamespace == right.bumpsNamespace
            && left.entities.elementsEqual(right.entities) { $0 == $1 }
    }

    /// The keys of the run, for a bucket of a namespace.
    public func keys(bucket: Int, in namespace: CacheNamespace) -> [String] {
        [namespace.headKey(bucket: bucket), namespace.bumpKey(bucket: bucket)]
            + entities.map { namespace.key(of: $0.entity) }
    }

    /// The arguments of the run.
    public func arguments(nonce: UInt64, limits: KeyspaceLimits) -> [String] {
        [
            expected.mark, expected.postgres, next.mark, next.postgres,
            vouched.map { String($0.microseconds) } ?? "", String(limits.lease.wholeMilliseconds), snapshot ?? "",
            bumpsNamespace ? "1" : "0", Generation.nonceText(nonce), String(limits.timeToLive.wholeMilliseconds),
            String(limits.variantsPerEntity),
        ]
            + entities.map { _, variants in
                switch variants {
                case .every: "*"
                case .some(let variants): variants.map(\.text).sorted().joined(separator: ",")
                }
            }
    }
}
