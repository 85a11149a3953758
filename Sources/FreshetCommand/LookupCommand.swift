import ArgumentParser
import Freshet
import FreshetPostgres
import Keyspace
import Logging
import Postgres
import Redis

/// `freshet lookup`: what a reader gets.
struct LookupCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lookup",
        abstract: "Looks up the workflows of detectors, as a reader does, and says where they came from.",
        discussion: """
            What is missing in Redis is loaded from Postgres and filled, exactly as in an application.

            The role needs freshet_reader, and SELECT on the two tables.

            EXAMPLE
              $ freshet lookup --detector 1 2 3 --environment 7
              $ freshet lookup --detector 1 --json | jq .workflows
            """
    )

    @Option(parsing: .upToNextOption, help: ArgumentHelp("A detector; may be repeated.", valueName: "id"))
    var detector: [Int64]

    @Option(help: ArgumentHelp("The environment; without it, global workflows only.", valueName: "id"))
    var environment: Int64?

    @Flag(help: "Print one JSON object.")
    var json = false

    @OptionGroup
    var tables: TableOptions

    @OptionGroup(title: "Settings")
    var options: SettingsOptions

    func validate() throws {
        guard !detector.isEmpty else { throw ValidationError("--detector is missing; give one id or more") }
    }

    func run() async throws {
        let settings = try options.resolve(tables.settings)
        // The answer says what a warning would say.
        let logger = settings.logger(.error)
        let redis = RedisNode(settings.redis, logger: logger)
        let pool = PostgresPool(configuration: settings.postgres, maximumConnections: 1, logger: logger)
        let result: Result<WorkflowAnswer, any Error>
        do {
            let lookup = try WorkflowLookup(
                redis: redis,
                namespace: settings.namespace,
                limits: settings.limits,
                options: settings.options,
                loader: PostgresWorkflowLoader(pool: pool, tables: WorkflowTables(settings.tables)).load,
                logger: logger
            )
            let answer = try await lookup.workflows(
                ofDetectors: detector,
                in: environment.map { .environment($0) } ?? .global
            )
            if answer.trust == .unreachable { try await explainUnreachable(redis, settings, logger) }
            result = .success(answer)
        } catch {
            result = .failure(error)
        }
        await pool.close()
        await redis.close()
        let report = LookupReport(answer: try result.get(), environment: environment)
        try Terminal.write(json ? report.json.line : report.text(Terminal.standardOutput()))
    }

    /// A reader answers without Redis, and so does this command; but a person wants to know why, and a wrong password is
    /// theirs to mend.
    private func explainUnreachable(_ redis: RedisNode, _ settings: Settings, _ logger: Logger) async throws {
        do {
            let head = settings.namespace.headKey(bucket: 0)
            _ = try await redis.send(RedisCommand("HGET", .string(head), "gen"), key: head).get()
        } catch let error as RedisError where error.isRetryable {
            logger.error("Redis does not answer, so everything was loaded", metadata: ["error": "\(error)"])
        }
    }
}

extension WorkflowTables {
    /// The tables of the settings, the others under their usual names.
    init(_ tables: Settings.Tables) {
        self.init()
        if let name = tables.workflow { workflow = name.sql }
        if let name = tables.link { link = name.sql }
    }
}
