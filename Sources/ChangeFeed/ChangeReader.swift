// Reads the streams: what they hold, and what comes. Ids of a stream are times of Redis, so those of several namespaces are put in
// order by them. A position is the id of the last entry seen of each stream; whoever follows goes on from it after a lost
// connection, and misses nothing that the stream still holds.

package import Keyspace
package import Redis

/// Reads the changes of some namespaces, on a connection that nobody else uses: it blocks.
package struct ChangeReader: Sendable {
    /// A record, and where it stands.
    package struct Entry: Hashable, Sendable {
        package var id: ChangeID
        package var change: AppliedChange
        /// The record as it is stored, with all that this version does not know: one line of JSON.
        package var line: String
    }

    /// The last entry seen of each stream, by key.
    package struct Position: Hashable, Sendable {
        fileprivate var ids: [String: ChangeID]
    }

    private let redis: any RedisClient
    private let keys: [String]

    static let entriesPerPage = 500
    private static let blockTime = Duration.seconds(1)
    private static let retryInterval = Duration.milliseconds(250)

    package init(_ namespaces: [CacheNamespace], redis: any RedisClient) {
        self.redis = redis
        keys = namespaces.map { ChangeStream.key(of: $0) }
    }

    /// The time of Redis, which ids are made of.
    package func time() async throws -> RedisTime {
        guard let time = try await redis.send(RedisCommand("TIME"), key: keys[0]).get().serverTimeInMicroseconds else {
            throw RedisServerError(line: "no answer to TIME")
        }
        return RedisTime(microseconds: time)
    }

    /// Where the streams end now.
    package func end() async throws -> Position {
        var position = Position(ids: [:])
        for key in keys { position.ids[key] = try await page(key, from: nil, below: nil, count: 1).first?.id ?? .zero }
        return position
    }

    /// What the streams hold up to a position, the oldest first.
    ///
    /// - Parameters:
    ///   - since: Nothing that was written before.
    ///   - count: So many at the most, the newest.
    ///   - isWanted: What counts.
    package func history(
        upTo position: Position,
        since: RedisTime? = nil,
        atMost count: Int = .max,
        where isWanted: (AppliedChange) -> Bool = { _ in true }
    ) async throws -> [Entry] {
        var found: [Entry] = []
        for key in keys {
            guard var top = position.ids[key], top > .zero else { continue }
            var own: [Entry] = []
            var isFirst = true
            while own.count < count {
                let page = try await page(
                    key,
                    from: since.map { ChangeID(milliseconds: UInt64(max(0, $0.microseconds / 1_000)), sequence: 0) },
                    below: (top, isIncluded: isFirst),
                    count: Self.entriesPerPage
                )
                for entry in page.compactMap(\.entry) where isWanted(entry.change) { own.append(entry) }
                // Nothing lies below what is no lower: it would be read for ever.
                guard page.count == Self.entriesPerPage, let last = page.last, last.id < top else { break }
                (top, isFirst) = (last.id, false)
            }
            found += own.prefix(count)
        }
        // Of one stream they are in order already, and stay so: no two have one id.
        return found.sorted { $0.id < $1.id }.suffix(count)
    }

    /// Tells of each record that comes after a position, until the task is cancelled.
    ///
    /// - Parameter onTrouble: Is told why Redis cannot be read, once each time it begins; nil when it can be again.
    /// - Throws: `CancellationError`; `RedisError` and `RedisServerError` where trying again is no use; what `onEntry` throws.
    package func follow(
        from position: Position,
        onTrouble: (String?) async -> Void = { _ in },
        onEntry: (Entry) async throws -> Void
    ) async throws {
        var position = position
        var isInTrouble = false
        while true {
            try Task.checkCancellation()
            let entries: [Entry]
            do {
                if isInTrouble { try await rewind(&position) }
                entries = try await next(&position)
                if isInTrouble {
                    isInTrouble = false
                    await onTrouble(nil)
                }
            } catch let error as RedisError where error.code == .cancelled {
                throw CancellationError()
            } catch let error where error.isPassing {
                if !isInTrouble { await onTrouble("\(error)") }
                isInTrouble = true
                try await Task.sleep(for: Self.retryInterval)
                continue
            }
            for entry in entries { try await onEntry(entry) }
        }
    }

    /// Goes back to where the streams end, where that is before what was seen.
    ///
    /// After a lost connection the dataset may be another: one that was restored, or a replica that missed the last. What it
    /// holds was seen, so what is new comes after its end; from the beginning, where the stream is gone.
    private func rewind(_ position: inout Position) async throws {
        for (key, id) in try await end().ids where id < position.ids[key] ?? .zero { position.ids[key] = id }
    }

    /// What comes after a position, within a while; the position is then behind it.
    func next(_ position: inout Position) async throws -> [Entry] {
        let command = RedisCommand(
            "XREAD",
            arguments: [
                "BLOCK", .integer(Self.blockTime.wholeMilliseconds), "COUNT", .integer(Int64(Self.entriesPerPage)),
                "STREAMS",
            ] + keys.map { .string($0) } + keys.map { .string("\(position.ids[$0] ?? .zero)") }
        )
        let reply = try await redis.send(command, key: keys[0], timeLimit: Self.blockTime + .seconds(5)).get()
        if reply.isNull { return [] }
        var entries: [Entry] = []
        for stream in reply.array ?? [] {
            guard let parts = stream.array, parts.count == 2, let key = parts[0].string else {
                throw RedisServerError(line: "no answer to XREAD")
            }
            for (id, entry) in try Self.entries(in: parts[1]) {
                position.ids[key] = id
                if let entry { entries.append(entry) }
            }
        }
        return entries.sorted { $0.id < $1.id }
    }

    /// Entries of a stream, the newest first; nil where the record is none that this version knows.
    private func page(
        _ key: String,
        from first: ChangeID?,
        below top: (id: ChangeID, isIncluded: Bool)?,
        count: Int
    ) async throws -> [(id: ChangeID, entry: Entry?)] {
        let command = RedisCommand(
            "XREVRANGE",
            .string(key),
            .string(top.map { "\($0.isIncluded ? "" : "(")\($0.id)" } ?? "+"),
            .string(first.map { "\($0)" } ?? "-"),
            "COUNT",
            .integer(Int64(count))
        )
        return try Self.entries(in: try await redis.send(command, key: key).get())
    }

    private static func entries(in reply: RedisReply) throws -> [(id: ChangeID, entry: Entry?)] {
        try (reply.array ?? []).map { entry in
            guard let parts = entry.array, parts.count == 2, let id = parts[0].string.flatMap({ ChangeID($0) }) else {
                throw RedisServerError(line: "an entry of a stream without an id")
            }
            let fields = parts[1].array ?? []
            let place = stride(from: 0, to: fields.count - 1, by: 2).first { fields[$0].string == ChangeStream.field }
            guard let line = place.flatMap({ fields[$0 + 1].bytes }).flatMap({ ChangeStream.line($0) }),
                let change = ChangeStream.record(in: line.utf8)
            else { return (id, nil) }
            return (id, Entry(id: id, change: change, line: line))
        }
    }
}

/// The id of a stream's entry: the time of Redis in milliseconds, and a number.
package struct ChangeID: Hashable, Comparable, Sendable, CustomStringConvertible {
    package var milliseconds: UInt64
    package var sequence: UInt64

    /// Before every entry.
    package static let zero = ChangeID(milliseconds: 0, sequence: 0)

    package init(milliseconds: UInt64, sequence: UInt64) {
        self.milliseconds = milliseconds
        self.sequence = sequence
    }

    /// The id in some text; nil where it is none.
    package init?(_ text: String) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, let milliseconds = UInt64(parts[0]), let sequence = UInt64(parts[1]) else { return nil }
        self.init(milliseconds: milliseconds, sequence: sequence)
    }

    package static func < (left: ChangeID, right: ChangeID) -> Bool {
        (left.milliseconds, left.sequence) < (right.milliseconds, right.sequence)
    }

    package var description: String { "\(milliseconds)-\(sequence)" }
}

extension Error {
    /// Whether it is worth trying again: Redis is away, is loading, or changes hands.
    fileprivate var isPassing: Bool {
        switch self {
        case let error as RedisError: error.isRetryable
        case let error as RedisServerError:
            [.loading, .busy, .primaryDown, .tryAgain, .misconfigured].contains(error.code)
        default: false
        }
    }
}
