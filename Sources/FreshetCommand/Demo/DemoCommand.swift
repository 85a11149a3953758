import ArgumentParser
import Glibc
import LocalServices
import Logging

/// `freshet demo`: everything, on servers of its own.
struct DemoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Shows it at work on a private Postgres and Redis, and leaves nothing behind.",
        discussion: """
            Starts both servers in folders of their own, migrates, fills the three tables, runs the worker, changes rows \
            with plain SQL as an application would, and shows each change reach a reader. Then it goes on until \
            interrupted, and prints how to connect.

            EXAMPLE
              $ freshet demo
              $ freshet demo --once && echo "it did what it says"
            """
    )

    @Flag(help: "End after the steps: with 0 if each showed what it should, else with 1.")
    var once = false

    @Option(help: ArgumentHelp("What the worker logs to standard error. [default: nothing]", valueName: "level"))
    var logLevel: String?

    func run() async throws {
        let interruption = Interruption(beforeLeaving: Self.leaveNothingBehind)
        let level = try logLevel.map(Self.level) ?? .critical
        let logger = Logger(label: "freshet") { LineLogHandler(label: $0, threshold: LogThreshold(level)) }
        let screen = DemoScreen(Terminal.standardOutput())
        let outcome = try await withThrowingTaskGroup(of: Ending.self) { tasks in
            tasks.addTask { .finished(try await show(on: screen, logger: logger)) }
            tasks.addTask {
                for await _ in interruption.requests { return .interrupted }
                throw CancellationError()
            }
            guard let first = try await tasks.next() else { return Ending.interrupted }
            // The other one ends by this: the demonstration closes its servers before it does.
            tasks.cancelAll()
            return first
        }
        switch outcome {
        case .finished(let isAsExpected): if !isAsExpected { throw ExitStatus.unwell.exitCode }
        case .interrupted:
            // Whoever interrupts may have closed the terminal too.
            _ = try Terminal.write(screen.terminal.style("\nInterrupted; nothing is left behind.", .faint))
            // Watching is over when the watcher says so; the steps are over when they have been shown.
            if once || !screen.hasShownSteps { throw ExitStatus.unwell.exitCode }
        }
    }

    /// Leaves nothing behind after a second signal either.
    ///
    /// The way out that the first one began takes less than a second and ends the process. Only where it is stuck are the
    /// servers ended from here: two that clean up at the same time are in each other's way.
    private static func leaveNothingBehind() {
        sleep(5)
        LocalServices.destroyAll()
    }

    private static func level(_ name: String) throws -> Logger.Level {
        guard let level = Logger.Level(rawValue: name.lowercased()) else {
            let levels = Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")
            throw Failure(.usage, "--log-level \"\(name)\": is no level; give one of \(levels)")
        }
        return level
    }

    private enum Ending: Sendable {
        case finished(Bool)
        case interrupted
    }

    /// - Returns: Whether every step showed what it should.
    private func show(on screen: DemoScreen, logger: Logger) async throws -> Bool {
        let stage: DemoStage
        do {
            stage = try await DemoStage.set(screen: screen, logger: logger)
        } catch is DemoScreen.Unwatched {
            return false
        }
        let result: Result<Bool, any Error>
        do {
            var steps = DemoSteps(stage: stage, screen: screen)
            let isAsExpected = try await steps.play()
            screen.stepsAreShown()
            if !once { try await DemoStroll(stage: stage, screen: screen).walk() }
            result = .success(isAsExpected)
        } catch is DemoScreen.Unwatched {
            // The reader of standard output has left. Nobody is there to be told.
            result = .success(false)
        } catch {
            result = .failure(error)
        }
        await stage.clear()
        return try result.get()
    }
}
