import ArgumentParser
import Postgres

/// `freshet invalidate`: through the journal.
struct InvalidateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "invalidate",
        abstract: "Invalidates by hand: everything, a detector, or one environment of it.",
        discussion: """
            Goes through the journal: it is durable, ordered like any change, and applied as soon as a worker runs.

            The role needs freshet_worker.

            EXAMPLE
              $ freshet invalidate --all
              $ freshet invalidate --detector 17
              $ freshet invalidate --detector 17 --environment 3
              $ freshet invalidate --detector 17 18 --global
            """
    )

    @Flag(help: "Everything.")
    var all = false

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp("A detector, in every environment; may be repeated.", valueName: "id")
    )
    var detector: [Int64] = []

    @Option(help: ArgumentHelp("Only what is cached for this environment.", valueName: "id"))
    var environment: Int64?

    @Flag(help: "Only the workflows that belong to no environment.")
    var global = false

    @OptionGroup(title: "Settings")
    var options: SettingsOptions

    func validate() throws {
        guard all != !detector.isEmpty else {
            throw ValidationError(all ? "--all and --detector exclude each other" : "--all or --detector is missing")
        }
        guard environment == nil || !global else {
            throw ValidationError("--environment and --global exclude each other")
        }
        guard !all || (environment == nil && !global) else {
            throw ValidationError("\(global ? "--global" : "--environment") goes with --detector, not with --all")
        }
    }

    func run() async throws {
        let settings = try options.resolve()
        let (sql, parameters) = statement
        let changes = try await withPostgres(settings, readWrite: true) { connection in
            let result = try await connection.query(sql, parameters)
            return result.rows.compactMap { result.string($0, 0) }
        }
        let subjects = all ? ["everything"] : detector.map { "detector \($0)\(place)" }
        for (subject, change) in zip(subjects, changes) {
            try Terminal.write("\(subject): change \(change) of the journal")
        }
    }

    private var statement: (String, [PostgresParameter]) {
        if all { return ("SELECT freshet.invalidate_all()", []) }
        let detectors = PostgresParameter.array(detector)
        if environment != nil || global {
            return (
                "SELECT freshet.invalidate_detector(id, $2::bigint) FROM unnest($1::bigint[]) AS id",
                [detectors, PostgresParameter(environment)]
            )
        }
        return ("SELECT freshet.invalidate_detector(id) FROM unnest($1::bigint[]) AS id", [detectors])
    }

    private var place: String {
        if let environment { return ", environment \(environment)" }
        return global ? ", global" : ""
    }
}
