public import Logging
import Synchronization

/// Keeps what is logged, to be counted.
public final class LogProbe: Sendable {
    private struct Line: Sendable {
        var level: Logger.Level
        var message: String
    }

    private let kept = Mutex<[Line]>([])

    /// One that has kept nothing yet.
    public init() {}

    /// What was logged at a level, or above it.
    public func messages(from level: Logger.Level) -> [String] {
        kept.withLock { $0.filter { $0.level >= level }.map(\.message) }
    }

    /// A logger that writes here, everything from `debug` on.
    public var logger: Logger {
        Logger(label: "freshet.tests") { _ in Handler(probe: self) }
    }

    private struct Handler: LogHandler {
        let probe: LogProbe
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.debug

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            probe.kept.withLock { $0.append(Line(level: event.level, message: "\(event.message)")) }
        }
    }
}
