import Glibc

/// What a service tells its manager; the words are those of sd_notify(3).
public enum ServiceNotification: Sendable, Hashable {
    /// The start, or a reload, is done.
    case ready
    /// What the service does, in one line for `systemctl status`.
    case status(String)
    /// The service is about to end.
    case stopping
    /// The service reads its configuration again, since now; ``ready`` ends it.
    case reloading
    /// The start or the stop may take so much longer, from now on.
    case extendTimeout(Duration)
    /// The service is alive.
    case watchdog

    /// The assignments of a datagram.
    var text: String {
        switch self {
        case .ready: return "READY=1"
        case .status(let text):
            // Line feeds separate assignments: a status must not be able to make others.
            return "STATUS=\(text.split(whereSeparator: \.isNewline).joined(separator: " "))"
        case .stopping: return "STOPPING=1"
        case .reloading: return "RELOADING=1\nMONOTONIC_USEC=\(Self.monotonicMicroseconds())"
        case .extendTimeout(let duration):
            let (seconds, attoseconds) = duration.components
            return "EXTEND_TIMEOUT_USEC=\(seconds * 1_000_000 + attoseconds / 1_000_000_000_000)"
        case .watchdog: return "WATCHDOG=1"
        }
    }

    /// CLOCK_MONOTONIC, by which the manager tells one reload from another.
    private static func monotonicMicroseconds() -> Int64 {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return Int64(now.tv_sec) * 1_000_000 + Int64(now.tv_nsec) / 1_000
    }
}
