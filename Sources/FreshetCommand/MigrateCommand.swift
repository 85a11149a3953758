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
              $ freshet migrate --attach datasources
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

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp(
            "Attach a further cache too: datasources, the detectors by data source. Once attached, it stays.",
            valueName: "cache"
        )
    )
    var attach: [FurtherCache] = []

    @Option(
        help: ArgumentHelp(
            "The table of data sources, for --attach datasources. [FRESHET_DATASOURCE_TABLE; default: "
                + "workflow_engine_datasource]",
            valueName: "table"
        )
    )
    var datasourceTable: String?

    @Option(
        help: ArgumentHelp(
            "The table that links data sources to detectors. [FRESHET_DATASOURCE_LINK_TABLE; default: "
                + "workflow_engine_datasourcedetector]",
            valueName: "table"
        )
    )
    var datasourceLinkTable: String?

    @OptionGroup
    var tables: TableOptions

    @OptionGroup(title: "Settings")
    var options: SettingsOptions

    func validate() throws {
        let namesTable =
            [detectorTable, tables.workflowTable, tables.linkTable, datasourceTable, datasourceLinkTable]
            .contains { $0 != nil }
        if uninstall, noAttach || namesTable || !attach.isEmpty {
            throw ValidationError("--uninstall removes everything: it goes with --dry-run alone")
        }
        if noAttach, namesTable || !attach.isEmpty {
            throw ValidationError("--no-attach attaches no table: leave out their names, and --attach")
        }
        if attach.isEmpty, datasourceTable != nil || datasourceLinkTable != nil {
            throw ValidationError("--datasource-table and --datasource-link-table go with --attach datasources")
        }
    }

    func run() async throws {
        let settings = try options.resolve(
            tables.settings.merging([
                .detectorTable: detectorTable, .dataSourceTable: datasourceTable,
                .dataSourceLinkTable: datasourceLinkTable,
            ]) { first, _ in first }
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
        let dataSources = attach.contains(.datasources) ? AttachedDataSources(settings.tables) : nil
        if dryRun {
            try Terminal.write(try await migrator.script(tables: attached, dataSources: dataSources))
            return
        }
        let report = try await migrator.migrate(tables: attached, dataSources: dataSources)
        for name in report.applied { try Terminal.write("applied: \(name)") }
        if let attached, report.attached {
            try Terminal.write("attached: \(attached.detector), \(attached.workflow), \(attached.link)")
        }
        if let dataSources, report.attachedDataSources {
            try Terminal.write("attached: \(dataSources.dataSource), \(dataSources.link), \(dataSources.detector)")
        }
        if report.isUnchanged { try Terminal.write("up to date") }
    }
}

/// A cache that is attached only where it is asked for.
enum FurtherCache: String, ExpressibleByArgument, CaseIterable {
    case datasources
}

extension AttachedDataSources {
    /// The tables of the settings, the others under their usual names.
    init(_ tables: Settings.Tables) {
        self.init()
        if let name = tables.dataSource { dataSource = name.sql }
        if let name = tables.dataSourceLink { link = name.sql }
        if let name = tables.detector { detector = name.sql }
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
