/// A moment on the clock of the Redis server, in microseconds since 1970.
///
/// Never compared with another host's clock.
public struct RedisTime: Hashable, Comparable, Sendable {
    /// Microseconds since 1970-01-01 00:00 UTC, by the server's clock.
    public let microseconds: Int64

    /// A moment by its microseconds since 1970.
    public init(microseconds: Int64) {
        self.microseconds = microseconds
    }

    /// How long `earlier` lies back; negative where it lies ahead.
    public func since(_ earlier: RedisTime) -> Duration {
        .microseconds(microseconds &- earlier.microseconds)
    }

    /// Whether one moment is earlier than another on the same clock.
    public static func < (left: RedisTime, right: RedisTime) -> Bool {
        left.microseconds < right.microseconds
    }
}

extension Duration {
    /// The duration in whole microseconds, rounded towards zero and clamped to 64 bits.
    public var wholeMicroseconds: Int64 {
        let (seconds, attoseconds) = components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000)
        return overflow ? (seconds < 0 ? .min : .max) : product &+ attoseconds / 1_000_000_000_000
    }

    /// The duration in whole milliseconds, rounded towards zero and clamped to 64 bits.
    public var wholeMilliseconds: Int64 { wholeMicroseconds / 1_000 }
}
