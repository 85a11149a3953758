import ChangeFeed
@preconcurrency import Dispatch
import Glibc
import Keyspace
import Synchronization

/// The screen of `freshet top` while it refreshes: keys, signals and changes come in, and it is drawn anew.
final class TopDisplay: Sendable {
    private struct State {
        var view: TopScreen.View
        /// The newest last.
        var entries: [ChangeReader.Entry]
        var trouble: String?
    }

    private let screen: TopScreen
    private let state: Mutex<State>
    /// The clock of Redis, which entries are dated by, and when it was read.
    private let clock: (now: RedisTime, at: ContinuousClock.Instant)

    private struct Quit: Error {}

    init(
        _ screen: TopScreen,
        _ view: TopScreen.View,
        kept: [ChangeReader.Entry],
        now: RedisTime,
        at moment: ContinuousClock.Instant
    ) {
        self.screen = screen
        clock = (now, moment)
        state = Mutex(State(view: view, entries: kept))
    }

    /// Shows until a signal or `q`, and leaves the terminal as it was.
    func show(
        _ reader: ChangeReader,
        from end: ChangeReader.Position,
        every interval: Duration,
        where isWanted: @escaping @Sendable (AppliedChange) -> Bool
    ) async throws {
        let keyboard = Keyboard()
        let interruption = Interruption(beforeLeaving: { Self.leave(keyboard) })
        // Without wrapping: a character that is wider than one column must not make two lines of one.
        Terminal.draw("\u{1B}[?1049h\u{1B}[?25l\u{1B}[?7l")
        defer { Self.leave(keyboard) }
        do {
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask {
                    for await _ in interruption.requests { throw Quit() }
                }
                tasks.addTask {
                    for await key in keyboard.keys {
                        if key == UInt8(ascii: "q") { throw Quit() }
                        if self.state.withLock({ $0.view.take(key) }) { self.draw() }
                    }
                    // Without a keyboard it ends by a signal.
                    try await Task.sleep(for: .seconds(86_400 * 365))
                }
                tasks.addTask {
                    while true {
                        self.draw()
                        try await Task.sleep(for: interval)
                    }
                }
                tasks.addTask {
                    try await reader.follow(from: end) { trouble in
                        self.state.withLock { $0.trouble = trouble }
                    } onEntry: { entry in
                        if isWanted(entry.change) { self.state.withLock { $0.entries.append(entry) } }
                    }
                }
                do {
                    try await tasks.next()
                } catch {
                    tasks.cancelAll()
                    throw error
                }
            }
        } catch is Quit {
            return
        }
    }

    private func draw() {
        let now = clock.now.microseconds + clock.at.duration(to: .now).wholeMicroseconds
        let oldest = UInt64(max(0, (now - screen.window.wholeMicroseconds) / 1_000))
        let (changes, view, trouble) = state.withLock { state in
            state.entries.removeAll { $0.id.milliseconds < oldest }
            return (state.entries.map(\.change), state.view, state.trouble)
        }
        let terminal = Terminal.standardOutput()
        let height = Terminal.height
        let width = terminal.width
        var lines = screen.report(changes, view).text(terminal, lines: max(0, height - 1), width: width)
        let help = "t a s: table, application, scope   c r b m p n: sort   q: quit"
        lines.append(
            trouble.map { terminal.style(Redaction.line($0).cut(to: width), .red) }
                ?? terminal.style(help.cut(to: width), .faint)
        )
        // Erased before it is written, what is below with the last: after the last column the cursor still stands on it.
        let last = lines.removeLast()
        Terminal.draw("\u{1B}[H\(lines.map { "\u{1B}[K\($0)\r\n" }.joined())\u{1B}[J\(last)")
    }

    private static func leave(_ keyboard: Keyboard) {
        Terminal.draw("\u{1B}[?7h\u{1B}[?25h\u{1B}[?1049l")
        keyboard.restore()
    }
}

/// Keys as they are pressed, without an echo; none where standard input is no terminal.
private final class Keyboard: Sendable {
    let keys: AsyncStream<UInt8>
    private let before: termios?
    private let source: (any DispatchSourceRead)?

    init() {
        var settings = termios()
        let (keys, continuation) = AsyncStream.makeStream(of: UInt8.self)
        self.keys = keys
        guard isatty(STDIN_FILENO) == 1, tcgetattr(STDIN_FILENO, &settings) == 0 else {
            (before, source) = (nil, nil)
            continuation.finish()
            return
        }
        before = settings
        // Signals stay signals.
        settings.c_lflag &= ~tcflag_t(ICANON | ECHO)
        tcsetattr(STDIN_FILENO, TCSANOW, &settings)
        let source = DispatchSource.makeReadSource(fileDescriptor: STDIN_FILENO)
        self.source = source
        source.setEventHandler {
            var bytes = [UInt8](repeating: 0, count: 64)
            let count = read(STDIN_FILENO, &bytes, bytes.count)
            guard count > 0 else {
                source.cancel()
                return continuation.finish()
            }
            for byte in bytes.prefix(count) { continuation.yield(byte) }
        }
        source.resume()
    }

    /// The terminal as it was before.
    func restore() {
        guard var before else { return }
        tcsetattr(STDIN_FILENO, TCSANOW, &before)
    }
}
