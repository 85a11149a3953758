import Glibc
import Logging

/// Logs to standard error, one line for each message.
///
/// `2026-01-31T12:00:00.123Z info freshet: message key=value`, or, where standard error leads to the journal of systemd,
/// `<6>message key=value`: the journal has its own clock, and the number is the level (sd-daemon(3)).
struct LineLogHandler: LogHandler {
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level
    private let label: String
    private let isForJournal: Bool

    init(label: String, level: Logger.Level) {
        self.label = label
        logLevel = level
        isForJournal = getenv("JOURNAL_STREAM") != nil && isatty(STDERR_FILENO) == 0
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
