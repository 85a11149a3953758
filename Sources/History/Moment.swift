import Glibc

/// A moment on the clock that all processes of a machine share and nobody sets.
public struct Moment: Hashable, Comparable, Sendable, Codable {
    /// Counted from a moment that differs from boot to boot.
    public var nanoseconds: Int64

    /// The moment so many nanoseconds after the clock's zero.
    public init(nanoseconds: Int64) {
        self.nanoseconds = nanoseconds
    }

    /// The moment of the call.
    public static var now: Moment {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Moment(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    }

    /// Before everything.
    public static let distantPast = Moment(nanoseconds: .min / 2)
    /// After everything.
    public static let distantFuture = Moment(nanoseconds: .max / 2)

    /// The moment so much later.
    public static func + (moment: Moment, duration: Duration) -> Moment {
        Moment(nanoseconds: moment.nanoseconds + duration.wholeNanoseconds)
    }

    /// The moment so much earlier.
    public static func - (moment: Moment, duration: Duration) -> Moment {
        Moment(nanoseconds: moment.nanoseconds - duration.wholeNanoseconds)
    }

    /// How much later one moment is than another.
    public static func - (later: Moment, earlier: Moment) -> Duration {
        .nanoseconds(later.nanoseconds - earlier.nanoseconds)
    }

    /// Whether one moment comes before another.
    public static func < (left: Moment, right: Moment) -> Bool {
        left.nanoseconds < right.nanoseconds
    }
}

extension Duration {
    /// In nanoseconds, the rest cut off.
    var wholeNanoseconds: Int64 {
        let (seconds, attoseconds) = components
        return seconds * 1_000_000_000 + attoseconds / 1_000_000_000
    }

    /// In seconds, with three digits behind the point.
    public var inSeconds: String {
        let milliseconds = wholeNanoseconds / 1_000_000
        let fraction = String(abs(milliseconds) % 1_000)
        let sign = milliseconds < 0 ? "-" : ""
        return "\(sign)\(abs(milliseconds) / 1_000)." + String(repeating: "0", count: 3 - fraction.count) + fraction
    }
}
