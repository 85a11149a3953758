import Audit
import ChangeFeed
import Keyspace

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
actor AuditHistory {
    private let settings: Settings
    /// The newest records of each stream that was read, in their order.
    private var entries: [CacheName: [ChangeReader.Entry]] = [:]

    /// How many records of a stream are kept, so that a long one does not fill the memory.
    private static let entriesKept = ChangePublisher.defaultLength

    init(_ settings: Settings) {
        self.settings = settings
    }

    /// The last changes of a cache, by its name; nil where no cache has it.
    ///
    /// Never throws: what is wrong is told without them, too.
    func changes(of cache: String) async -> RecentChanges? {
        guard let cache = CacheName(rawValue: cache) else { return nil }
        do {
            let entries = try await read(cache)
            return entries.isEmpty
                ? .unknown("Redis keeps no changes, see freshet run --change-history") : .known(entries)
        } catch {
            return .unknown(Failure(classifying: error).message)
        }
    }

    private func read(_ cache: CacheName) async throws -> [ChangeReader.Entry] {
        let known = entries[cache] ?? []
        // More may have come in the millisecond of the last. An id that somebody made up may overflow: then more is read than needed.
        let since = known.last.map { RedisTime(microseconds: Int64(truncatingIfNeeded: $0.id.milliseconds) &* 1_000) }
        let limit = Self.entriesKept
        let found = try await ChangeHistory(settings, caches: [cache]).reading { reader in
            try await reader.history(upTo: reader.end(), since: since, atMost: limit)
        }
        let last = known.last?.id ?? .zero
        let newest = Array((known + found.filter { $0.id > last }).suffix(limit))
        entries[cache] = newest
        return newest
    }
}

extension [ChangeReader.Entry] {
    /// The last changes that invalidated an entry, and where those are few, the last that may have: ten at the most, in their order.
    func covering(_ name: EntryName) -> [ExplainReport.Change] {
        func newest(_ count: Int, _ wanted: InvalidatedScopes.Coverage) -> [ExplainReport.Change] {
            filter { $0.change.coverage(of: name) == wanted }.suffix(count)
                .map { ExplainReport.Change(entry: $0, isCertain: wanted == .yes) }
        }
        let certain = newest(10, .yes)
        return (certain + newest(10 - certain.count, .perhaps)).sorted { $0.entry.id < $1.entry.id }
    }
}

extension AppliedChange {
    /// Whether it invalidated an entry.
    fileprivate func coverage(of name: EntryName) -> InvalidatedScopes.Coverage {
        let coverage = invalidated.covers(name.entity, name.variant)
        // Of a pass it is known what all its changes did, not which of them.
        return coverage == .yes && invalidated.isOfPass ? .perhaps : coverage
    }
}
