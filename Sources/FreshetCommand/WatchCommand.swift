import ArgumentParser
import ChangeFeed
import Keyspace
import Logging

/// `freshet watch`: changes as they are applied.
struct WatchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "watch",
        abstract: "Shows changes as the worker applies them: who changed what, and what that invalidated.",
        discussion: """
            A line for each change: when everything was invalidated, table and operation, rows, application and role, what was \
            invalidated (17 is detector 17 in every environment, 17:global+7 the global workflows and environment 7 of it), and \
            the time from the commit to that; from the trigger where Postgres keeps no time of commits (track_commit_timestamp).

            The worker keeps the last changes in Redis (freshet run --change-history). Of a burst, changes are folded. It is a \
            history for people: a Redis that is full or away loses some of it, and no invalidation.

            Its Redis user needs XREAD, XREVRANGE and TIME on <prefix>:*. Ends on SIGINT.

            EXAMPLE
              $ freshet watch
              $ freshet watch --since 10m --table workflow --operation delete
              $ freshet watch --last 100 --once --json | jq .invalidated
            """
    )

    @Option(help: ArgumentHelp("Begin with what was applied in this time, as 30s, 10m, 2h or 7d.", valueName: "time"))
    var since: TimeSpan?

    @Option(help: ArgumentHelp("Begin with so many of the last changes.", valueName: "count"))
    var last: Int?

    @Flag(help: "End when the history has been shown: all of it, unless --since or --last says less.")
    var once = false

    @Flag(help: "Print JSON: a line for each change.")
    var json = false

    @OptionGroup(title: "Which changes")
    var filter: ChangeFilter

    @OptionGroup(title: "Settings")
    var options: SettingsOptions

    func validate() throws {
        if let last, last < 1 { throw ValidationError("--last \(last): give a number of at least 1") }
    }

    func run() async throws {
        let settings = try options.resolve()
        let terminal = Terminal.standardOutput()
        let interruption = Interruption()
        let (since, last, once, filter, json) = (since, last, once, filter, json)
        let history = ChangeHistory(settings, caches: filter.caches)
        // Where nothing changes, nothing is printed; whoever wonders sees here that the command does listen.
        let logger = settings.logger(.error)
        try await history.reading { reader in
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask {
                    for await _ in interruption.requests { return }
                }
                tasks.addTask {
                    let end = try await reader.end()
                    logger.debug("Reading changes", metadata: ["streams": "\(history.keys.joined(separator: " "))"])
                    let watching = Watching(reader: reader, filter: filter, terminal: json ? nil : terminal)
                    try await watching.run(upTo: end, since: since, last: last, once: once)
                }
                try await tasks.next()
                tasks.cancelAll()
            }
        }
    }
}

/// One run of the command.
private struct Watching: Sendable {
    let reader: ChangeReader
    let filter: ChangeFilter
    /// Nil for JSON.
    let terminal: Terminal?

    private struct ReaderLeft: Error {}

    /// - Parameter end: Where the history ends, and what follows begins.
    func run(upTo end: ChangeReader.Position, since: TimeSpan?, last: Int?, once: Bool) async throws {
        if once || since != nil || last != nil {
            var first: RedisTime?
            if let since {
                let now = try await reader.time()
                first = RedisTime(microseconds: now.microseconds - since.duration.wholeMicroseconds)
            }
            for entry in try await reader.history(
                upTo: end,
                since: first,
                atMost: last ?? .max,
                where: filter.admits
            ) {
                guard try show(entry) else { return }
            }
        }
        if once { return }
        do {
            try await reader.follow(from: end) { trouble in
                Terminal.complain(trouble.map { "\($0); trying again" } ?? "Redis answers again")
            } onEntry: { entry in
                if filter.admits(entry.change), try !show(entry) { throw ReaderLeft() }
            }
        } catch is ReaderLeft {
            return
        }
    }

    /// False where nobody reads any more.
    private func show(_ entry: ChangeReader.Entry) throws -> Bool {
        try Terminal.write(terminal.map { ChangeLine(change: entry.change).text($0) } ?? entry.line)
    }
}
