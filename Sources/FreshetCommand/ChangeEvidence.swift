import ChangeFeed
import Keyspace
import Redis

/// What is known of the last changes of one cache.
enum RecentChanges: Sendable {
    /// The newest records that Redis keeps, at least one, in their order.
    case known([ChangeReader.Entry])
    /// Nothing is, for this reason.
    case unknown(String)
}

/// The streams of changes, as an audit reads them for its evidence.
///
/// A stream is read once, and from then on for what is new: otherwise each wrong entry would cost Redis the whole of it.
actor ChangeEvidence {
    private let namespace: CacheNamespace
    private let redis: any RedisClient
    private let limit: Int
    /// The newest records of each stream that was read, in their order.
    private var entries: [CacheName: [ChangeReader.Entry]] = [:]

    /// - Parameters:
    ///   - namespace: Where the first cache lives; the others lie beside it.
    ///   - redis: May be a connection that others use: no read here blocks.
    ///   - limit: How many records of a stream are kept, so that a long one does not fill the memory.
    init(of namespace: CacheNamespace, redis: any RedisClient, limit: Int = ChangePublisher.defaultLength) {
        self.namespace = namespace
        self.redis = redis
        self.limit = limit
    }

    /// The last changes of a cache, by its name; nil where no cache has it.
    ///
    /// Never throws: what is wrong is told without them, too.
    func changes(of cache: String) async -> RecentChanges? {
        guard let cache = CacheName(rawValue: cache) else { return nil }
        let namespace = cache.namespace(beside: self.namespace)
        do {
            let newest = try await newest(of: ChangeReader([namespace], redis: redis), known: entries[cache] ?? [])
            entries[cache] = newest
            return newest.isEmpty
                ? .unknown("Redis keeps no changes, see freshet run --change-history") : .known(newest)
        } catch let error as RedisServerError where error.code == .wrongType {
            return .unknown(Failure(noStreamAt: [ChangeStream.key(of: namespace)]).message)
        } catch {
            return .unknown(Failure(classifying: error).message)
        }
    }

    private func newest(
        of reader: ChangeReader,
        known: [ChangeReader.Entry]
    ) async throws -> [ChangeReader.Entry] {
        let end = try await reader.end()
        // The last that is known is read again: more may have come in its millisecond.
        let found = try await reader.history(upTo: end, since: known.last?.id.time, atMost: limit)
        guard let last = known.last, found.count < limit else { return found }
        if let place = found.firstIndex(where: { $0.id == last.id }) {
            return Array((known + found[(place + 1)...]).suffix(limit))
        }
        // It is there no more: Redis was emptied or restored, or has failed over, and what is new may have lower ids.
        return try await reader.history(upTo: end, atMost: limit)
    }
}

extension ChangeID {
    /// The beginning of its millisecond.
    ///
    /// An id that somebody made up may overflow; then another part of the stream is read than is needed, and does no harm.
    fileprivate var time: RedisTime {
        RedisTime(microseconds: Int64(truncatingIfNeeded: milliseconds) &* 1_000)
    }
}
