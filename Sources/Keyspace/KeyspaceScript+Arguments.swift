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
    /// What the head must have reached, or the pass does nothing: what was bumped up to it is not among the entities.
    public var hinted: HintMark?
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
        hinted: HintMark? = nil,
        bumpsNamespace: Bool = false,
        entities: [(entity: Entity, variants: ScopeSet.Variants)] = []
    ) {
        self.expected = expected
        self.next = next
        self.vouched = vouched
        self.snapshot = snapshot
        self.hinted = hinted
        self.bumpsNamespace = bumpsNamespace
        self.entities = entities
    }

    /// Whether two passes expect and do the same.
    public static func == (left: BucketPass, right: BucketPass) -> Bool {
        left.expected == right.expected && left.next == right.next && left.vouched == right.vouched
            && left.snapshot == right.snapshot && left.hinted == right.hinted
            && left.bumpsNamespace == right.bumpsNamespace
            && left.entities.elementsEqual(right.entities) { $0 == $1 }
    }

    /// The keys of the run, for a bucket of a namespace to which all its entities belong.
    public func keys(bucket: Int, in namespace: CacheNamespace) -> [String] {
        assert(entities.allSatisfy { namespace.bucket(of: $0.entity) == bucket }, "an entity of another bucket")
        let prefix = namespace.entityKeyPrefix(bucket: bucket)
        return [namespace.headKey(bucket: bucket), namespace.bumpKey(bucket: bucket)]
            + entities.map { prefix + $0.entity.text }
    }

    /// The arguments of the run.
    public func arguments(nonce: UInt64, limits: KeyspaceLimits) -> [String] {
        [
            expected.mark, expected.postgres, next.mark, next.postgres,
            vouched.map { String($0.microseconds) } ?? "", String(limits.lease.wholeMilliseconds), snapshot ?? "",
            bumpsNamespace ? "1" : "0", Generation.nonceText(nonce), String(limits.timeToLive.wholeMilliseconds),
            String(limits.variantsPerEntity), hinted?.description ?? "",
        ]
            + entities.map(\.variants.argument)
    }
}

/// Where a chain of hinted bumps of a bucket stands, as the head keeps it: `<chain, 16 hex digits> <number>`.
///
/// Each bump of a chain raises the number by one, and only where the head has the number before it; elsewhere another chain begins. So
/// a dataset whose head has reached a number of a chain holds every bump of that chain up to it, whatever became of the server: what
/// is restored, promoted or resynchronised has an earlier number, or another chain.
public struct HintMark: Hashable, Sendable, CustomStringConvertible {
    /// 64 random bits.
    public var chain: UInt64
    /// At least 1.
    public var number: UInt64

    /// A mark out of its two parts.
    public init(chain: UInt64, number: UInt64) {
        self.chain = chain
        self.number = number
    }

    /// The mark of the bump that follows in the chain.
    public var next: HintMark { HintMark(chain: chain, number: number + 1) }

    /// As the head keeps it.
    public var description: String { "\(Generation.nonceText(chain)) \(number)" }
}

/// One run of ``KeyspaceScript/hint``: bumps of one bucket that nothing is promised of.
public struct HintedBump: Sendable {
    /// Where the chain stands; nil to begin one.
    public var previous: HintMark?
    /// Where it stands afterwards, if the head has ``previous``.
    public var next: HintMark
    /// Where it stands afterwards, if the head has anything else.
    public var beginning: HintMark
    /// What is bumped of the bucket's entities.
    public var entities: [(entity: Entity, variants: ScopeSet.Variants)]

    /// A run over one bucket.
    ///
    /// - Parameter fresh: 64 random bits, for the chain that may have to begin.
    public init(
        after previous: HintMark?,
        fresh: UInt64,
        entities: [(entity: Entity, variants: ScopeSet.Variants)]
    ) {
        self.previous = previous
        beginning = HintMark(chain: fresh, number: 1)
        next = previous?.next ?? beginning
        self.entities = entities
    }

    /// The keys of the run, for a bucket of a namespace to which all its entities belong.
    public func keys(bucket: Int, in namespace: CacheNamespace) -> [String] {
        assert(entities.allSatisfy { namespace.bucket(of: $0.entity) == bucket }, "an entity of another bucket")
        let prefix = namespace.entityKeyPrefix(bucket: bucket)
        return [namespace.headKey(bucket: bucket)] + entities.map { prefix + $0.entity.text }
    }

    /// The arguments of the run.
    public func arguments(nonce: UInt64, limits: KeyspaceLimits) -> [String] {
        [
            previous?.description ?? "", next.description, beginning.description, Generation.nonceText(nonce),
            String(limits.timeToLive.wholeMilliseconds), String(limits.variantsPerEntity),
        ]
            + entities.map(\.variants.argument)
    }
}

extension ScopeSet.Variants {
    /// As the scripts take it.
    fileprivate var argument: String {
        switch self {
        case .every: "*"
        case .some(let variants): variants.map(\.text).sorted().joined(separator: ",")
        }
    }
}
