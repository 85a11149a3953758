import ArgumentParser
import Doctor
import Logging

/// `freshet doctor`: what is not as it should be, why that matters, and what ends it.
struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Examines Postgres and Redis, and says what is wrong, why it matters, and what mends it.",
        discussion: """
            Triggers, functions, roles and privileges, migrations, journal and vacuum, notifications and poolers; the Redis, \
            its memory and the rights of its user; the head of each cache. It changes nothing. Ends with 1 where something \
            matters, with 69 where a server cannot be reached, after telling what there is to tell of the other, and with 77 where \
            nothing is wrong but the role may not see what decides: triggers, journal, worker, promise.

            Any role may ask. What a role may not see is said to be unchecked: freshet_worker and pg_read_all_stats see all of \
            Postgres; in Redis, INFO, CONFIG GET and EVAL do.

            EXAMPLE
              $ freshet doctor
              $ freshet doctor --all
              $ freshet doctor --json | jq '.findings[] | select(.severity == "problem")'
            """
    )

    @Flag(help: "Print one JSON object.")
    var json = false

    @Flag(help: "Show what is well, too, check by check.")
    var all = false

    @OptionGroup(title: "Settings")
    var options: SettingsOptions

    func run() async throws {
        let settings = try options.resolve()
        let doctor = Doctor(
            postgres: settings.postgres,
            redis: settings.redis,
            namespace: settings.namespace,
            version: RootCommand.version,
            logger: settings.logger(.error)
        )
        let examination = try await doctor.examine()
        let report = DoctorReport(findings: Diagnosis(examination.facts).findings, version: RootCommand.version)
        try Terminal.write(json ? report.json.line : report.text(Terminal.standardOutput(), showsAll: all))
        if let error = examination.postgresError ?? examination.redisError { throw Failure(classifying: error) }
        switch report.isWell {
        case true?: break
        case false?: throw ExitStatus.unwell.exitCode
        case nil: throw ExitStatus.permission.exitCode
        }
    }
}
