import ArgumentParser
import Configuration
import Logging

/// The flags that every command takes which talks to the servers.
struct SettingsOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Postgres, as libpq takes it: a URI or keywords. [FRESHET_POSTGRES]",
            discussion: "Empty leaves it to the PG* variables. Others can see a command line: keep a password in the "
                + "environment, in --config or in ~/.pgpass.",
            valueName: "conninfo"
        )
    )
    var postgres: String?

    @Option(
        help: ArgumentHelp(
            "Redis: redis://[user[:password]@]host[:port][/db], rediss://… (TLS) or unix:///path[?db=N]. [FRESHET_REDIS; "
                + "default: redis://127.0.0.1:6379]",
            valueName: "url"
        )
    )
    var redis: String?

    @Option(help: "What the keys in Redis begin with. [FRESHET_PREFIX; default: freshet]")
    var prefix: String?

    @Option(help: "The cache behind the prefix. [FRESHET_NAMESPACE; default: workflows]")
    var namespace: String?

    @Option(
        help: ArgumentHelp(
            "A JSON file with these settings, the flags' names being the keys.",
            valueName: "file"
        )
    )
    var config: String?

    @Option(
        help: ArgumentHelp(
            "What is logged to standard error: trace, debug, info, notice, warning, error or critical. "
                + "[FRESHET_LOG_LEVEL; default: info]",
            valueName: "level"
        )
    )
    var logLevel: String?

    @Option(
        help: ArgumentHelp(
            "How long a promise of the worker holds. [FRESHET_LEASE_SECONDS; default: 5]",
            valueName: "seconds"
        )
    )
    var leaseSeconds: Double?

    @Option(
        help: ArgumentHelp(
            "How old an entry may be while nobody vouches for it; 0 serves none. [FRESHET_DEGRADED_SECONDS; default: 60]",
            valueName: "seconds"
        )
    )
    var degradedSeconds: Double?

    /// The settings of all sources.
    ///
    /// - Parameters:
    ///   - more: Flags of the command itself that are settings too.
    ///   - numbers: Those of them that are numbers.
    /// - Throws: ``Failure`` for the first that cannot be understood.
    func resolve(
        _ more: [SettingsKey: String?] = [:],
        numbers: [SettingsKey: Double?] = [:]
    ) throws(Failure) -> Settings {
        var given: [SettingsKey: ConfigValue] = [:]
        func take(_ key: SettingsKey, _ text: String?) {
            if let text { given[key] = ConfigValue(.string(text), isSecret: key.isSecret) }
        }
        take(.postgres, postgres)
        take(.redis, redis)
        take(.prefix, prefix)
        take(.namespace, namespace)
        take(.logLevel, logLevel)
        for (key, text) in more { take(key, text) }
        for case (let key, let number?) in numbers { given[key] = ConfigValue(.double(number), isSecret: false) }
        if let leaseSeconds { given[.leaseSeconds] = ConfigValue(.double(leaseSeconds), isSecret: false) }
        if let degradedSeconds { given[.degradedSeconds] = ConfigValue(.double(degradedSeconds), isSecret: false) }

        let commandLine = SettingsSource(
            values: InMemoryProvider(
                values: Dictionary(uniqueKeysWithValues: given.map { (AbsoluteConfigKey([$0.key.rawValue]), $0.value) })
            ).snapshot(),
            name: { "--\($0.rawValue)" },
            mistake: .usage,
            ignoresEmpty: false
        )
        var sources = [commandLine, SettingsSource.environment()]
        if let credentials = try SettingsSource.credentials() { sources.append(credentials) }
        if let config { sources.append(try .file(config)) }
        return try Settings(sources)
    }
}

/// The flags that name the application's tables.
struct TableOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The table of workflows. [FRESHET_WORKFLOW_TABLE; default: workflow_engine_workflow]",
            valueName: "table"
        )
    )
    var workflowTable: String?

    @Option(
        help: ArgumentHelp(
            "The table of links. [FRESHET_LINK_TABLE; default: workflow_engine_detectorworkflow]",
            valueName: "table"
        )
    )
    var linkTable: String?

    var settings: [SettingsKey: String?] {
        [.workflowTable: workflowTable, .linkTable: linkTable]
    }
}

extension Settings {
    /// The logger of a command.
    ///
    /// - Parameter level: What is logged where nothing else was asked for.
    func logger(_ level: Logger.Level = .info) -> Logger {
        let level = logLevel ?? level
        return Logger(label: "freshet") { LineLogHandler(label: $0, threshold: LogThreshold(level)) }
    }
}
