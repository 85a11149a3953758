import Keyspace
import Logging
import Redis

/// Stores what was loaded, under what was read before the load.
struct CacheFiller<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    let definition: CacheDefinition<Key, Value>
    let redis: any RedisClient
    let logger: Logger
    let telemetry: ReadTelemetry

    /// A loaded value, and what it may be stored under.
    struct Fill: Sendable {
        var key: Key
        var value: Value
        var stamp: EntryStamp
        /// The Postgres of the head; nil where the head names none.
        var postgres: String?
        /// What the claim was set to, which the fill takes back.
        var claim: String?
    }

    /// Stores the values whose Postgres is the one that the head names.
    ///
    /// - Returns: The fills that were not sent.
    /// - Throws: `CancellationError` where the caller is cancelled. What fails is counted.
    func fill(_ fills: [Fill], from postgres: String?) async throws -> [Fill] {
        let own = fills.filter { fill in
            // A head without an identity has no worker yet; the degraded limit bounds what is stored until it has one.
            postgres != nil && postgres != "replica" && fill.postgres ?? postgres == postgres
        }
        let foreign = own.count == fills.count ? [] : fills.filter { fill in !own.contains { $0.key == fill.key } }
        if !foreign.isEmpty { telemetry.fillWasForeign(count: foreign.count) }
        guard !own.isEmpty else { return foreign }
        do {
            for (fill, replies) in zip(own, try await redis.send(own.map(batch))) {
                note(fill, replies.first ?? .null)
            }
        } catch {
            telemetry.fillFailed(count: own.count)
            logger.debug("Fills failed", metadata: ["error": "\(error)"])
            if error.code == .cancelled { throw CancellationError() }
        }
        return foreign
    }

    private func batch(_ fill: Fill) -> RedisBatch {
        let namespace = definition.namespace
        let entity = definition.entity(fill.key)
        let variant = definition.variant(fill.key)
        let entry = Entry(stamp: fill.stamp, payload: definition.encode(fill.value)[...])
        let around = KeyspaceScript.fillArguments(stamp: fill.stamp, variant: variant, limits: definition.limits)
        return RedisBatch(
            script: .fill,
            keys: [
                namespace.headKey(bucket: namespace.bucket(of: entity)), namespace.key(of: entity),
                namespace.claimKey(of: entity, variant),
            ],
            arguments: around.beforeEntry.map { RedisArgument($0) } + [RedisArgument(EntryCodec.encode(entry))]
                + around.afterEntry.map { RedisArgument($0) } + [RedisArgument(fill.claim ?? "")]
        )
    }

    private func note(_ fill: Fill, _ reply: RedisReply) {
        guard let outcome = reply.string.flatMap(FillOutcome.init(rawValue:)) else {
            telemetry.fillFailed(count: 1)
            logger.debug("A fill failed", metadata: ["key": "\(fill.key)", "error": "\(reply)"])
            return
        }
        telemetry.filled(outcome)
        logger.debug("Fill", metadata: ["key": "\(fill.key)", "outcome": "\(outcome.rawValue)"])
    }
}
