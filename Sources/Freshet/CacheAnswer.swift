public import Keyspace

/// What a cache answers for a number of keys.
public struct CacheAnswers<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    /// How far Redis could be relied on: the worst that was found among the buckets that were read.
    public var trust: Trust
    /// One answer for each key.
    public var answers: [Key: CacheAnswer<Value>]
}

/// The value of one key, and where it came from.
public struct CacheAnswer<Value: Sendable>: Sendable {
    /// The value.
    public var value: Value
    /// Where the value came from.
    public var source: AnswerSource

    /// A value and where it came from.
    public init(value: Value, source: AnswerSource) {
        self.value = value
        self.source = source
    }
}

/// Where an answer came from.
public enum AnswerSource: Hashable, Sendable {
    /// From a valid entry in Redis.
    case hit
    /// From the memory of this process, where it is as valid as in Redis.
    case near
    /// From the loader, for this reason.
    case miss(MissReason)
}

/// Why an answer had to be loaded.
public enum MissReason: Hashable, Sendable {
    /// There is no entry.
    case absent
    /// The entry was loaded before something that was bumped since.
    case stale(EntryStamp.Level)
    /// The entry is older than any may be.
    case expired
    /// Nobody vouches for the entry now, and it is too old, or from the future.
    case degraded
    /// The entry's bytes are none, or of an unknown version, or its key holds something else.
    case damaged
    /// The cache is not known to have applied the transaction of the reader's token.
    case behind
    /// The cache is switched off.
    case disabled
    /// Redis does not answer.
    case unreachable

    /// One word, as metrics and JSON have it.
    public var label: String {
        switch self {
        case .absent: "absent"
        case .stale(let level): "stale_\(level.rawValue)"
        case .expired: "expired"
        case .degraded: "degraded"
        case .damaged: "damaged"
        case .behind: "behind"
        case .disabled: "disabled"
        case .unreachable: "unreachable"
        }
    }

    static let all: [MissReason] = [
        .absent, .stale(.namespace), .stale(.entity), .stale(.variant), .expired, .degraded, .damaged, .behind,
        .disabled, .unreachable,
    ]
}
