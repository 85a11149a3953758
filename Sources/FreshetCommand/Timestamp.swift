import Glibc
import Keyspace

/// A moment of the calendar in UTC, to the microsecond.
struct Timestamp: Hashable, Sendable {
    let microsecondsSince1970: Int64

    /// This moment.
    static var now: Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(microsecondsSince1970: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000)
    }

    /// ISO 8601, `2026-01-31T12:00:00.123456Z`.
    func text(fractionDigits: Int = 6) -> String {
        var (seconds, microseconds) = microsecondsSince1970.quotientAndRemainder(dividingBy: 1_000_000)
        if microseconds < 0 {
            microseconds += 1_000_000
            seconds -= 1
        }
        var time = time_t(seconds)
        var parts = tm()
        gmtime_r(&time, &parts)
        let date = "\(Self.padded(Int(parts.tm_year) + 1_900, 4))-\(Self.padded(Int(parts.tm_mon) + 1, 2))"
        let day = "\(Self.padded(Int(parts.tm_mday), 2))T\(Self.padded(Int(parts.tm_hour), 2))"
        let minute = "\(Self.padded(Int(parts.tm_min), 2)):\(Self.padded(Int(parts.tm_sec), 2))"
        return "\(date)-\(day):\(minute).\(Self.padded(Int(microseconds), 6).prefix(fractionDigits))Z"
    }

    private static func padded(_ number: Int, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}

extension Timestamp {
    /// A moment by the clock of Redis.
    init(_ time: RedisTime) {
        self.init(microsecondsSince1970: time.microseconds)
    }
}
