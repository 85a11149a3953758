/// One argument of a command: text, bytes or a decimal number.
///
/// A literal becomes one by itself: `RedisCommand("HSET", "key", "field", 1)`.
public enum RedisArgument: Sendable, Hashable {
    /// Text, sent as UTF-8.
    case string(String)
    /// Bytes, sent as they are.
    case bytes([UInt8])
    /// A number, sent in decimal.
    case integer(Int64)

    /// A number, sent in decimal.
    public init(_ value: some FixedWidthInteger) {
        if let small = Int64(exactly: value) {
            self = .integer(small)
        } else {
            self = .string(String(value))
        }
    }

    /// Text, sent as UTF-8.
    public init(_ value: String) {
        self = .string(value)
    }

    /// Bytes, sent as they are.
    public init(_ value: [UInt8]) {
        self = .bytes(value)
    }
}

extension RedisArgument: ExpressibleByStringInterpolation, ExpressibleByIntegerLiteral {
    /// Text, sent as UTF-8.
    public init(stringLiteral value: String) {
        self = .string(value)
    }

    /// A number, sent in decimal.
    public init(integerLiteral value: Int64) {
        self = .integer(value)
    }
}
