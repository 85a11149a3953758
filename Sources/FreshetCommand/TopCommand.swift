import ArgumentParser
import ChangeFeed
import Glibc
import Keyspace

/// `freshet top`: changes, added up.
struct TopCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "top",
        abstract: "Shows what changes most, by table, application or what is invalidated, on a screen that refreshes.",
        discussion: """
            Adds up the changes of the last --window seconds that freshet watch would show: how many, the rows that they \
            touched, the generations that they raised, and the time until everything was invalidated, median and 99th \
            percentile. By scope, a change counts for each detector or data source that it invalidates.

            Keys: t a s by table, application, scope; c r b m p n sort by changes, rows, bumps, median, p99, name; q quits. Where \
            standard output is no terminal it prints once and ends, as with --once and --json.

            EXAMPLE
              $ freshet top
              $ freshet top --by application --sort p99 --window 600
              $ freshet top --json | jq '.rows[0]'
            """
    )

    @Option(help: "What to add up by: table, application or scope.")
    var by = ChangeRanking.Grouping.table

    @Option(help: "What to sort by: changes, rows, bumps, median, p99 or name.")
    var sort = ChangeRanking.Order.changes

    @Option(help: ArgumentHelp("Of which time: 30s, 10m, 2h, 7d, or seconds. [default: 60]", valueName: "time"))
    var window: TimeSpan?

    @Option(help: ArgumentHelp("How often the screen refreshes. [default: 1]", valueName: "seconds"))
    var interval: Double?

    @Flag(help: "Print once, and end.")
    var once = false

    @Flag(help: "Print one JSON object, and end.")
    var json = false

    @OptionGroup(title: "Which changes")
    var filter: ChangeFilter

    @OptionGroup(title: "Settings")
    var options: SettingsOptions

    func validate() throws {
        if let interval, !(interval >= 0.1 && interval <= 3_600) {
            throw ValidationError("--interval \(interval): give seconds, from 0.1 to 3600")
        }
    }

    func run() async throws {
        let settings = try options.resolve()
        let terminal = Terminal.standardOutput()
        let view = TopScreen.View(grouping: by, order: sort)
        let screen = TopScreen(window: window?.duration ?? .seconds(60), namespace: settings.namespace)
        let (filter, json) = (filter, json)
        let interval = Duration.milliseconds(Int64((interval ?? 1) * 1_000))
        let isOnce = once || json || !terminal.isInteractive
        try await ChangeHistory(settings, caches: filter.caches).reading { reader in
            let now = try await reader.time()
            let started = ContinuousClock.now
            let first = RedisTime(microseconds: now.microseconds - screen.window.wholeMicroseconds)
            let end = try await reader.end()
            let kept = try await reader.history(upTo: end, since: first, where: filter.admits)
            if isOnce {
                let report = screen.report(kept.map(\.change), view)
                let text = report.text(terminal, lines: .max, width: .max)
                try Terminal.write(json ? report.json.line : text.joined(separator: "\n"))
                return
            }
            let display = TopDisplay(screen, view, kept: kept, now: now, at: started)
            try await display.show(reader, from: end, every: interval, where: filter.admits)
        }
    }
}

extension String {
    /// The text, or its beginning and an ellipsis, in so many characters at the most.
    func cut(to width: Int) -> String {
        count <= width ? self : "\(prefix(Swift.max(0, width - 1)))\(width > 0 ? "…" : "")"
    }
}

extension ChangeRanking.Grouping: ExpressibleByArgument {}
extension ChangeRanking.Order: ExpressibleByArgument {}

/// What the screen shows, apart from how it gets there.
struct TopScreen: Sendable {
    /// What a person chooses by keys.
    struct View: Hashable, Sendable {
        var grouping: ChangeRanking.Grouping
        var order: ChangeRanking.Order

        /// Takes a key; false where it means nothing.
        mutating func take(_ key: UInt8) -> Bool {
            switch Character(UnicodeScalar(key)) {
            case "t": grouping = .table
            case "a": grouping = .application
            case "s": grouping = .scope
            case "c": order = .changes
            case "r": order = .rows
            case "b": order = .bumps
            case "m": order = .median
            case "p": order = .p99
            case "n": order = .name
            default: return false
            }
            return true
        }
    }

    let window: Duration
    let namespace: CacheNamespace

    func report(_ changes: [AppliedChange], _ view: View) -> TopReport {
        TopReport(
            namespace: namespace,
            window: window,
            view: view,
            ranking: ChangeRanking(changes, by: view.grouping, in: view.order)
        )
    }
}

/// One state of the screen.
struct TopReport {
    let namespace: CacheNamespace
    let window: Duration
    let view: TopScreen.View
    let ranking: ChangeRanking

    var json: JSON {
        .object([
            ("namespace", .string("\(namespace)")),
            ("window_seconds", .number(window.seconds)),
            ("by", .string(view.grouping.rawValue)),
            ("sort", .string(view.order.rawValue)),
            ("total", json(ranking.total)),
            ("rows", .array(ranking.rows.map(json))),
        ])
    }

    private func json(_ row: ChangeRanking.Row) -> JSON {
        .object([
            ("name", .string(row.name)),
            ("changes", .integer(row.changes)),
            ("changes_per_second", .number(rate(row))),
            ("rows", .integer(row.rows)),
            ("bumps", .integer(row.bumps)),
            ("latency_median_us", JSON(row.medianLatency)),
            ("latency_p99_us", JSON(row.p99Latency)),
            ("last_us", .integer(row.lastMicroseconds)),
        ])
    }

    private func rate(_ row: ChangeRanking.Row) -> Double { Double(row.changes) / window.seconds }

    /// - Parameters:
    ///   - lines: So many at the most.
    ///   - width: So many columns each at the most: names are cut first.
    func text(_ terminal: Terminal, lines: Int, width: Int) -> [String] {
        let total = ranking.total
        let title =
            "\(namespace)  the last \(StatusReport.age(window.seconds)): "
            + [(total.changes, "change"), (total.rows, "row"), (total.bumps, "bump")]
            .map { "\($0) \($1)\($0 == 1 ? "" : "s")" }.joined(separator: ", ")
        let names: [(ChangeRanking.Order?, String)] = [
            (.name, view.grouping.rawValue.uppercased()), (.changes, "CHANGES"), (nil, "PER SECOND"),
            (.rows, "ROWS"), (.bumps, "BUMPS"), (.median, "MEDIAN"), (.p99, "P99"),
        ]
        let shown = ranking.rows.prefix(max(0, lines - 4))
        let header = names.map { $0.0 == view.order ? "\($0.1)*" : $0.1 }
        var rows = shown.map(cells) + [cells(total)]
        // The columns of figures, each with the two spaces before it.
        let figures = header.indices.dropFirst().reduce(0) { sum, column in
            sum + 2 + (([header] + rows).map { $0[column].count }.max() ?? 0)
        }
        let room = max(header[0].count, width - figures)
        for place in rows.indices { rows[place][0] = rows[place][0].cut(to: room) }
        let table = Table(header: header, rows: rows).lines(.plain, indent: "")
        let text = ([title, ""] + table).prefix(lines).map { $0.cut(to: width) }
        return text.enumerated().map { place, line in
            switch place {
            case 0: terminal.style(line, .bold)
            case 2: terminal.style(line, .faint)
            default: line
            }
        }
    }

    private func cells(_ row: ChangeRanking.Row) -> [String] {
        [
            Redaction.visible(row.name), String(row.changes), String((rate(row) * 100).rounded() / 100),
            String(row.rows), String(row.bumps), row.medianLatency.map(ChangeLine.latency) ?? "-",
            row.p99Latency.map(ChangeLine.latency) ?? "-",
        ]
    }
}
