/// What the server replied to one command.
public enum RedisReply: Sendable, Hashable {
    /// A status such as `OK`.
    case simple(String)
    /// A string of bytes.
    case bulk([UInt8])
    /// A number.
    case integer(Int64)
    /// Several replies in one.
    case array([RedisReply])
    /// Nothing: no such key or field.
    case null
    /// The command failed; others in the same pipeline may have worked.
    ///
    /// Indirect because it is the largest case by far, and the rarest: replies are small, and cheap to move, without it.
    indirect case error(RedisServerError)
}

extension RedisReply {
    /// The bytes of a bulk reply; nil for anything else.
    public var bytes: [UInt8]? {
        if case .bulk(let bytes) = self { bytes } else { nil }
    }

    /// The text of a bulk reply that is valid UTF-8, or of a status; nil for anything else.
    public var string: String? {
        switch self {
        case .bulk(let bytes): String(validating: bytes, as: UTF8.self)
        case .simple(let text): text
        case .integer, .array, .null, .error: nil
        }
    }

    /// The number of an integer reply or of a bulk reply in decimal digits; nil for anything else.
    public var int64: Int64? {
        switch self {
        case .integer(let number): number
        case .bulk(let bytes): String(validating: bytes, as: UTF8.self).flatMap { Int64($0) }
        case .simple, .array, .null, .error: nil
        }
    }

    /// The elements of an array reply; nil for anything else.
    public var array: [RedisReply]? {
        if case .array(let elements) = self { elements } else { nil }
    }

    /// The error, if the command failed.
    public var error: RedisServerError? {
        if case .error(let error) = self { error } else { nil }
    }

    /// Whether the server replied that there is nothing.
    public var isNull: Bool {
        self == .null
    }

    /// The reply itself, unless it is an error: that is thrown.
    public func get() throws(RedisServerError) -> RedisReply {
        if case .error(let error) = self {
            throw error
        }
        return self
    }
}
