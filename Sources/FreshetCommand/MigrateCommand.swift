import ArgumentParser
import Logging
import Migrations

/// `freshet migrate`: the schema and the triggers.
struct MigrateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "migrate",
        abstract: "Brings the schema freshet up to date and attaches the triggers.",
        discussion: """
            Safe to repeat, and to run from many places at once. Never queues for a lock in front of your writers: it tries \
            for moments, again and again.

            EXAMPLE
              $ freshet migrate
              $ freshet migrate --detector-table app.detector \\
                  --workflow-table app.workflow --link-table app.link
              $ freshet migrate --dry-run | psql app
              $ freshet migrate --uninstall
            """
    )

    @Flag(help: "Print the SQL, for psql, and change nothing.")
    var dryRun = false

    @Flag(help: "Remove the triggers and the schema.")
    var uninstall = false

    @Flag(help: "Leave the triggers alone.")
    var noAttach = false

    @Option(
        help: ArgumentHelp(
            "The table of detectors. [FRESHET_DETECTOR_TABLE; default: workflow_engine_detector]",
            valueName: "table"
        )
    )
    var detectorTable: String?

    @OptionGroup
    var tables: TableOptions

    @OptionGroup(title: "Settings")
    var options: SettingsOptions

    func validate() throws {
        if uninstall, noAttach || detectorTable != nil || tables.workflowTable != nil || tables.linkTable != nil {
            throw ValidationError("--uninstall removes everything: it goes with --dry-run alone")
        }
        if noAttach, detectorTable != nil || tables.workflowTable != nil || tables.linkTable != nil {
            throw ValidationError("--no-attach attaches no table: leave out their names")
        }
    }

    func run() async throws {
        let settings = try options.resolve(
            tables.settings.merging([.detectorTable: detectorTable]) { first, _ in first }
        )
        let migrator = Migrator(configuration: settings.postgres, logger: settings.logger(.warning))
        if uninstall {
            if dryRun {
                try Terminal.write(Migrator.uninstallScript)
            } else {
                try await migrator.uninstall()
                try Terminal.write("removed: the triggers and the schema freshet")
            }
            return
        }
        let attached = noAttach ? nil : AttachedTables(settings.tables)
        if dryRun {
            try Terminal.write(try await migrator.script(tables: attached))
            return
        }
        let report = try await migrator.migrate(tables: attached)
        for name in report.applied { try Terminal.write("applied: \(name)") }
        if let attached, report.attached {
            try Terminal.write("attached: \(attached.detector), \(attached.workflow), \(attached.link)")
        }
        if report.isUnchanged { try Terminal.write("up to date") }
    }
}

extension AttachedTables {
    /// The tables of the settings, the others under their usual names.
    init(_ tables: Settings.Tables) {
        self.init()
        if let name = tables.detector { detector = name.sql }
        if let name = tables.workflow { workflow = name.sql }
        if let name = tables.link { link = name.sql }
    }
}
