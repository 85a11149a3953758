import Glibc
import Logging
import Synchronization
import Systemd

/// Logs to standard error, one line for each message.
///
/// `2026-01-31T12:00:00.123Z info freshet: message key=value`, or, where standard error leads to the journal of systemd,
/// `<6>message key=value`: the journal has its own clock, and the number is the level (sd-daemon(3)).
struct LineLogHandler: LogHandler {
    var metadata: Logger.Metadata = [:]
    private let label: String
    private let threshold: LogThreshold
    /// The level of this logger alone, where it was given one.
    private var ownLevel: Logger.Level?
    private let isForJournal = JournalStream.isStandardError

    init(label: String, threshold: LogThreshold) {
        self.label = label
        self.threshold = threshold
    }

    var logLevel: Logger.Level {
        get { ownLevel ?? threshold.level }
        set { ownLevel = newValue }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let all = metadata.merging(event.metadata ?? [:]) { _, new in new }
        let pairs = all.sorted { $0.key < $1.key }.map { " \($0.key)=\(Self.quoted("\($0.value)"))" }.joined()
        let text = Redaction.line("\(event.message)\(pairs)")
        let line =
            isForJournal
            ? "<\(event.level.journalPriority)>\(text)\n"
            : "\(Timestamp.now.text(fractionDigits: 3)) \(event.level) \(label): \(text)\n"
        // One call, so that lines of several threads do not mix. Where standard error is gone there is no one to tell.
        _ = Array(line.utf8).withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }

    private static func quoted(_ value: String) -> String {
        value.contains { $0 == " " || $0 == "\"" }
            ? "\"\(value.replacing("\"", with: "\\\""))\"" : value
    }
}

/// The least level that is logged, by all loggers that share it; it may change while they log.
final class LogThreshold: Sendable {
    private let current: Mutex<Logger.Level>

    init(_ level: Logger.Level) {
        current = Mutex(level)
    }

    var level: Logger.Level {
        get { current.withLock { $0 } }
        set { current.withLock { $0 = newValue } }
    }
}

extension Logger.Level {
    /// The level in syslog's numbers.
    fileprivate var journalPriority: Int {
        switch self {
        case .trace, .debug: 7
        case .info: 6
        case .notice: 5
        case .warning: 4
        case .error: 3
        case .critical: 2
        }
    }
}
