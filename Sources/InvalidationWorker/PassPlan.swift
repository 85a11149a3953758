// The decisions of one pass for one cache, apart from its effects. A pass has one such plan for each cache, all made from one
// claim and each for a namespace of its own; no plan knows of another.
//
// The mark is kept in Redis beside the data and in Postgres beside the journal, and is replaced by every pass that consumed
// rows or bumped the namespace. If both agree, then this dataset has seen every bump. If they differ, something happened to
// the dataset (emptied, restored, failed over, resynchronised in place), or a pass ended between script and COMMIT, or
// another worker was here: the bucket is reset, with a new namespace generation. That is always safe, never needs to know
// which of these it was, and is rare.
//
// A pass compares before it swaps: the script changes nothing unless the head is as it was observed. So a worker that was
// paused after its observation, and deposed meanwhile, does nothing either.

import Keyspace

/// A head as the worker observed it at the beginning of a pass.
struct ObservedHead: Equatable, Sendable {
    var fence: BucketPass.Fence
    /// The server's time, read before the claim: what a promise of this pass can vouch for.
    var time: RedisTime
}

/// What one pass does for one cache: to Redis, then to Postgres.
package struct PassPlan: Equatable, Sendable {
    /// Where the cache lives.
    var namespace: CacheNamespace
    /// The name of the cache.
    var cache: String
    /// Whether anybody misses its promises.
    var isAttached: Bool
    /// Runs of the script, in order, each with its bucket.
    var passes: [(bucket: Int, pass: BucketPass)]
    /// What must be written to `freshet.fence` beyond what the claim has written itself; nil for nothing.
    var acknowledgement: Acknowledgement?
    /// What this pass invalidates by what the journal says.
    var scopes: ScopeSet
    /// How many generations were raised for it ahead of the pass.
    var hintedBumpCount: Int64
    /// When that was done, where it leaves nothing to do.
    var hintedAt: ContinuousClock.Instant?
    /// The buckets whose dataset was not the one that Postgres knows.
    var resetBuckets: [Int]
    /// Why this pass vouches for nothing; nil where it vouches.
    var distrust: String?

    /// A new state of `freshet.fence`.
    package struct Acknowledgement: Hashable, Sendable {
        package var cache: String
        package var mark: String
        package var triggers: String
    }

    /// - Parameters:
    ///   - heads: One for each bucket, in order.
    ///   - nextMark: Fresh; the claim has written it to Postgres if it took rows.
    init(
        claim: CacheClaim,
        snapshot: String,
        heads: [ObservedHead],
        identity: PostgresIdentity,
        nextMark: String,
        namespace: CacheNamespace,
        limits: KeyspaceLimits
    ) {
        self.namespace = namespace
        cache = claim.cache
        isAttached = claim.isAttached
        let identity = identity.description
        // The mark is empty before the first pass ever, and then no dataset is known.
        let believed = claim.mark.flatMap { $0.isEmpty ? nil : BucketPass.Fence(mark: $0, postgres: identity) }
        distrust = claim.distrust
        // Writes may have escaped triggers that are not the ones acknowledged last. As soon as something is wrong, also that is
        // acknowledged: then mending it is noticed, even where it leaves the triggers just as they were before. (Rows of a
        // child table that came and went, or that a policy hid for a while, do.)
        let acknowledged = distrust == nil ? claim.triggers : ""
        let acknowledgesTriggers = acknowledged != claim.acknowledgedTriggers ?? ""
        var scopes = claim.scopes
        if acknowledgesTriggers && distrust == nil { scopes.insert(.namespace) }
        // One by one they would take longer than the lease.
        if scopes.entities.count > limits.entitiesPerPass { scopes.insert(.namespace) }
        // What was bumped ahead of the pass is bumped no more.
        let covered = scopes.coversNamespace ? nil : claim.covered

        let resetBuckets = heads.indices.filter { heads[$0].fence != believed }
        let replacesMark = claim.rowCount > 0 || acknowledgesTriggers || !resetBuckets.isEmpty
        let next = BucketPass.Fence(mark: replacesMark ? nextMark : claim.mark ?? nextMark, postgres: identity)

        var entities = Dictionary(grouping: (covered?.rest ?? scopes).entities) { namespace.bucket(of: $0.key) }
        passes = []
        for (bucket, head) in heads.enumerated() {
            let bumpsNamespace = scopes.coversNamespace || resetBuckets.contains(bucket)
            let bumped = bumpsNamespace ? [] : entities.removeValue(forKey: bucket) ?? []
            let sorted = bumped.map { (entity: $0.key, variants: $0.value) }.sorted { $0.entity.text < $1.entity.text }
            let size = max(1, limits.entitiesPerScript)
            let chunks = stride(from: 0, to: max(sorted.count, 1), by: size).map { start in
                Array(sorted[start..<min(start + size, sorted.count)])
            }
            var expected = head.fence
            for (index, chunk) in chunks.enumerated() {
                let isLast = index == chunks.count - 1
                // A mark of its own for each chunk but the last: a chunk that was not preceded by the others does nothing.
                let after = isLast ? next : BucketPass.Fence(mark: "\(nextMark)+\(index + 1)", postgres: identity)
                let pass = BucketPass(
                    expected: expected,
                    next: after,
                    vouched: isLast && distrust == nil ? head.time : nil,
                    // Neither a promise nor a reader with a token may rely on what escaped the triggers.
                    snapshot: isLast && distrust == nil ? snapshot : nil,
                    hinted: bumpsNamespace ? nil : covered?.marks[bucket],
                    bumpsNamespace: bumpsNamespace,
                    entities: chunk
                )
                passes.append((bucket, pass))
                expected = after
            }
        }

        self.scopes = scopes
        self.resetBuckets = resetBuckets
        hintedBumpCount = resetBuckets.isEmpty ? covered?.bumpCount ?? 0 : 0
        hintedAt = resetBuckets.isEmpty ? covered.flatMap { $0.rest.isEmpty ? $0.lastBump : nil } : nil
        acknowledgement =
            acknowledgesTriggers || (replacesMark && claim.rowCount == 0)
            ? Acknowledgement(cache: claim.cache, mark: nextMark, triggers: acknowledged) : nil
    }

    package static func == (left: PassPlan, right: PassPlan) -> Bool {
        left.namespace == right.namespace && left.cache == right.cache && left.isAttached == right.isAttached
            && left.passes.elementsEqual(right.passes) { $0 == $1 } && left.acknowledgement == right.acknowledgement
            && left.scopes == right.scopes && left.hintedBumpCount == right.hintedBumpCount
            && left.hintedAt == right.hintedAt && left.resetBuckets == right.resetBuckets
            && left.distrust == right.distrust
    }
}
