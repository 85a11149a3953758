import ArgumentParser
import Audit
import ChangeFeed
import Freshet
import Keyspace
import Logging
import Postgres
import Redis

/// `freshet explain`: everything known about one key.
struct ExplainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        abstract: "Tells everything known about a detector's key, and what the database says of it.",
        discussion: """
            Shows what the worker promises, the generations that guard the key, each entry with its age, size and stamp, and whether \
            a reader would be served it or why not; the last changes that invalidated it; what the database answers now, and \
            whether the two agree. A difference is judged as freshet audit judges it, which may take two leases. Where few \
            changes are known to have invalidated it, those follow that may have: of a change that invalidates much, not all \
            is kept.

            Ends with 1 where a reader is served what the database does not say and no change explains it. Without an environment it \
            is about the global workflows and every environment that is cached.

            The role needs freshet_auditor, and SELECT on the attached tables. Its Redis user needs HMGET, HKEYS, PTTL, TIME, \
            MULTI, EXEC and XREVRANGE on <prefix>:*.

            EXAMPLE
              $ freshet explain --detector 17
              $ freshet explain --detector 17 --environment 3 --json | jq .entries
            """
    )

    @Option(help: ArgumentHelp("The detector.", valueName: "id"))
    var detector: Int64

    @Option(help: ArgumentHelp("The environment, beside the global workflows; without it, all.", valueName: "id"))
    var environment: Int64?

    @Flag(help: "Print one JSON object.")
    var json = false

    @OptionGroup(title: "Settings")
    var options: SettingsOptions

    func run() async throws {
        let settings = try options.resolve()
        let entity = Entity(detector)
        let variants = environment.map { [Variant.global, Variant($0)] }
        let redis = RedisNode(settings.redis, logger: Logger(label: "freshet") { _ in SwiftLogNoOpLogHandler() })
        let result: Result<(KeyView, Result<Auditor.Truths, any Error>), any Error>
        do {
            let view = try await KeyView.read(
                entity,
                variants,
                in: settings.namespace,
                of: redis,
                limits: settings.limits,
                degradedLimit: settings.options.degradation.greatestAge
            )
            let truths: Result<Auditor.Truths, any Error>
            do {
                truths = .success(try await Self.truths(of: view.entries.map(\.name), settings, redis))
            } catch {
                truths = .failure(error)
            }
            result = .success((view, truths))
        } catch {
            result = .failure(error)
        }
        await redis.close()
        let (view, truths) = try result.get()
        let changes = try await ChangeHistory(settings, caches: [.workflows]).reading { reader in
            // No more, so that a long stream does not fill the memory.
            try await reader.history(upTo: reader.end(), atMost: ChangePublisher.defaultLength) { change in
                change.coverage(of: entity, variants) != .no
            }
        }
        .covering(entity, variants, seen: view.time)
        let report = ExplainReport(detector: detector, view: view, truths: try? truths.get(), changes: changes)
        try Terminal.write(json ? report.json.line : report.text(Terminal.standardOutput()))
        // What Redis holds is told all the same.
        _ = try truths.get()
        if report.isWrong { throw ExitStatus.unwell.exitCode }
    }

    private static func truths(
        of names: [EntryName],
        _ settings: Settings,
        _ redis: RedisNode
    ) async throws -> Auditor.Truths {
        var configuration = Auditor.Configuration()
        configuration.namespace = settings.namespace
        configuration.limits = settings.limits
        var auditor = try await Auditor.open(
            settings.postgres,
            redis: redis,
            configuration: configuration,
            logger: settings.logger(.error)
        )
        do {
            let truths = try await auditor.truths(of: names)
            await auditor.close()
            return truths
        } catch {
            await auditor.close()
            throw error
        }
    }
}
