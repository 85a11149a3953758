/// What the server replied to one command.
public enum RedisReply: Sendable, Hashable {
    /// A status such as `OK`.
    case simple(String)
    /// A string of bytes, which may be a part of a larger piece of memory: whoever keeps a short one for long copies it.
    case bulk(ArraySlice<UInt8>)
    /// A number.
    case integer(Int64)
    /// Several replies in one.
    case array(RedisReplies)
    /// Nothing: no such key or field.
    case null
    /// The command failed; others in the same pipeline may have worked.
    ///
    /// Indirect because it is the largest case by far, and the rarest: replies are small, and cheap to move, without it.
    indirect case error(RedisServerError)
}

extension RedisReply {
    /// A string of bytes.
    public static func bulk(_ bytes: [UInt8]) -> RedisReply { .bulk(bytes[...]) }

    /// Several replies in one.
    public static func array(_ replies: [RedisReply]) -> RedisReply { .array(RedisReplies(replies)) }

    /// The bytes of a bulk reply; nil for anything else.
    public var bytes: ArraySlice<UInt8>? {
        if case .bulk(let bytes) = self { bytes } else { nil }
    }

    /// The text of a bulk reply that is valid UTF-8, or of a status; nil for anything else.
    public var string: String? {
        switch self {
        case .bulk(let bytes): Self.text(bytes)
        case .simple(let text): text
        case .integer, .array, .null, .error: nil
        }
    }

    /// The number of an integer reply or of a bulk reply in decimal digits; nil for anything else.
    public var int64: Int64? {
        switch self {
        case .integer(let number): number
        case .bulk(let bytes): Self.number(bytes)
        case .simple, .array, .null, .error: nil
        }
    }

    /// A number in decimal digits.
    private static func number(_ bytes: ArraySlice<UInt8>) -> Int64? {
        let digits = bytes.first == UInt8(ascii: "-") ? bytes.dropFirst() : bytes
        // So many never overflow; with more, or with anything but digits, the standard library decides.
        guard (1...18).contains(digits.count) else { return text(bytes).flatMap { Int64($0) } }
        var number: Int64 = 0
        for digit in digits {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else {
                return text(bytes).flatMap { Int64($0) }
            }
            number = number * 10 + Int64(digit - UInt8(ascii: "0"))
        }
        return digits.count == bytes.count ? number : -number
    }

    /// Bytes that are UTF-8 as a string.
    private static func text(_ bytes: ArraySlice<UInt8>) -> String? {
        let text = String(decoding: bytes, as: UTF8.self)
        // What is no UTF-8 was replaced, so the string has other bytes. This is much faster than the standard library's validation,
        // which does that for any encoding and collection at once, unspecialised.
        return text.utf8.count == bytes.count && text.utf8.elementsEqual(bytes) ? text : nil
    }

    /// The elements of an array reply; nil for anything else.
    public var array: RedisReplies? {
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
