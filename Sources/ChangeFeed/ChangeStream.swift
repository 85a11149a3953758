// Where records are kept: a stream of Redis for each namespace, beside the head of its first bucket. It is bounded by MAXLEN, which Redis
// rounds up to whole nodes of 100 entries, and expires when nothing was written to it for a week, so that it goes by itself where
// Freshet is uninstalled, and may be evicted where the policy spares what never expires. Its name cannot be that of an entity, which
// goes on with a colon, so nobody who scans for entities takes it for one.

package import Keyspace
import Redis

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The stream of one namespace.
package enum ChangeStream {
    /// The key of a namespace's stream.
    package static func key(of namespace: CacheNamespace) -> String {
        "\(namespace.headKey(bucket: 0)).changes"
    }

    /// The field of an entry that holds the record.
    static let field = "change"

    /// How long a stream stays that nobody writes to.
    static let timeToLive = Duration.seconds(7 * 24 * 60 * 60)

    /// Adds records to the stream of a namespace, which keeps about `length` of them.
    static func appending(_ records: [AppliedChange], toStreamAt key: String, length: Int) throws -> RedisBatch {
        var batch = RedisBatch(key: key)
        for record in records {
            batch.append(
                RedisCommand(
                    "XADD",
                    .string(key),
                    "MAXLEN",
                    "~",
                    .integer(Int64(length)),
                    "*",
                    .string(field),
                    .bytes(try encoded(record))
                )
            )
        }
        batch.append(RedisCommand("PEXPIRE", .string(key), .integer(timeToLive.wholeMilliseconds)))
        return batch
    }

    /// The record in some bytes, which may come from anywhere; nil where it is none that this version knows.
    package static func record(in bytes: some Collection<UInt8>) -> AppliedChange? {
        try? JSONDecoder().decode(AppliedChange.self, from: Data(bytes))
    }

    /// The text in some bytes on one line; nil where they are no text.
    ///
    /// In JSON a line ends between two values only, where a space says the same.
    static func line(_ bytes: some Sequence<UInt8>) -> String? {
        String(validating: bytes.map { $0 < UInt8(ascii: " ") ? UInt8(ascii: " ") : $0 }, as: UTF8.self)
    }

    /// The bytes of a record: one line of JSON.
    package static func encoded(_ record: AppliedChange) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(record))
    }
}
