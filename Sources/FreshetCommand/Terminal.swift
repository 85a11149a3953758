import Glibc
import Systemd

/// What the standard streams can show, and how it is written to them.
struct Terminal: Sendable {
    /// Whether to use colour.
    let hasColour: Bool
    /// Whether a person is watching, so that a line may be overwritten.
    let isInteractive: Bool
    /// How many columns there are.
    let width: Int

    /// Plain text, whoever reads it.
    static let plain = Terminal(hasColour: false, isInteractive: false, width: 100)

    /// Standard output as it is: colour on a terminal only, and never where `NO_COLOR` has a value (no-color.org).
    static func standardOutput() -> Terminal {
        guard isatty(STDOUT_FILENO) == 1 else { return plain }
        func variable(_ name: String) -> String { getenv(name).map { String(cString: $0) } ?? "" }
        let isDumb = variable("TERM") == "dumb"
        var size = winsize()
        let hasSize = ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0
        return Terminal(
            hasColour: variable("NO_COLOR").isEmpty && !isDumb,
            isInteractive: !isDumb,
            width: hasSize ? Int(size.ws_col) : 100
        )
    }

    /// How text stands out.
    enum Style: String {
        case bold = "1"
        case faint = "2"
        case red = "31"
        case green = "32"
        case yellow = "33"
        case cyan = "36"
    }

    /// The text, in a style where there is colour.
    func style(_ text: some StringProtocol, _ styles: Style...) -> String {
        guard hasColour, !styles.isEmpty else { return String(text) }
        return "\u{1B}[\(styles.map(\.rawValue).joined(separator: ";"))m\(text)\u{1B}[0m"
    }

    /// Writes a line of the answer to standard output.
    ///
    /// A reader who has left (`| head`) is no error: the rest is dropped, and false returned.
    @discardableResult
    static func write(_ line: String) throws(Failure) -> Bool {
        try write(line, to: STDOUT_FILENO)
    }

    /// Writes the one line of an error to standard error.
    static func complain(_ line: String) {
        // Nobody is left to be told where standard error is gone as well.
        _ = try? write(JournalStream.isStandardError ? "<3>\(line)" : "freshet: \(line)", to: STDERR_FILENO)
    }

    /// Shows how far a command is, where a person is watching standard error; overwrites what it showed before.
    static func showProgress(_ text: String) {
        guard isWatched else { return }
        _ = Array("\r\u{1B}[K\(text)".utf8).withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }

    /// Takes away what was shown.
    static func endProgress() {
        showProgress("")
    }

    /// Writes to standard output as it is, for a screen that is drawn.
    static func draw(_ text: String) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(STDOUT_FILENO, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            // A terminal that is gone has nobody before it.
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }

    /// How many lines standard output has.
    static var height: Int {
        var size = winsize()
        return ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_row > 0 ? Int(size.ws_row) : 24
    }

    private static var isWatched: Bool {
        guard isatty(STDERR_FILENO) == 1 else { return false }
        return getenv("TERM").map { String(cString: $0) } != "dumb"
    }

    private static func write(_ line: String, to descriptor: Int32) throws(Failure) -> Bool {
        var rest = Array("\(line)\n".utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count >= 0 {
                rest = rest.dropFirst(count)
                continue
            }
            switch errno {
            case EINTR: continue
            case EAGAIN:
                var readiness = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                poll(&readiness, 1, -1)
            case EPIPE: return false
            default:
                throw Failure(
                    .unreachable,
                    "standard output: \(String(cString: strerror(errno))); give it another place"
                )
            }
        }
        return true
    }
}
