// Where a setting comes from, strongest first: the command line, the environment, the file of --config, the defaults below.
// Environment and file have a file of their own each; what reads them is swift-configuration.

import ChangeFeed
import Configuration
import Freshet
import InvalidationWorker
import Keyspace
import Logging
import Operations
import Postgres
import Redis

/// How the commands reach the servers and name what is there.
struct Settings: Sendable {
    /// Where the journal is: libpq's own `PG*` variables and defaults unless said otherwise.
    var postgres = PostgresConfiguration()
    /// Where the generations and entries are.
    var redis = RedisConfiguration(endpoint: .tcp(host: "127.0.0.1", port: 6_379))
    /// The cache, by its prefix and name.
    var namespace = CacheNamespace.workflows
    /// What is logged to standard error; nil where nothing was said: `info`, and less where a command's answer tells it all.
    var logLevel: Logger.Level?
    /// How often the worker looks without being told to; the lease bounds it.
    var pollInterval = InvalidationWorker.Configuration().pollInterval
    /// How often a standby tries to lead.
    var standbyInterval = InvalidationWorker.Configuration().leadershipInterval
    /// The figures on which the worker and the readers of a namespace agree.
    var limits = KeyspaceLimits()
    /// How a reader uses the cache.
    var options = CacheOptions()
    /// The application's tables.
    var tables = Tables()
    /// How many entries a second the auditor beside the worker looks at; 0 is none.
    var auditRate = 0.0
    /// Where that auditor logs in, if it does not as the worker does.
    var auditPostgres: PostgresConfiguration?
    /// About how many of the last changes the worker keeps in Redis for who watches; 0 is none.
    var changeHistory = ChangePublisher.defaultLength

    /// Where a worker answers over HTTP.
    var http = HTTP.at(.standard, isAskedFor: false)
    /// Whether there is a status page among what it answers.
    var showsPage = true

    /// Where a worker answers over HTTP.
    enum HTTP: Hashable, Sendable {
        case off
        /// There; whether somebody asked for just this.
        case at(HTTPAddress, isAskedFor: Bool)
    }

    /// The names of the application's tables, as SQL text; nil for the usual one.
    struct Tables: Hashable, Sendable {
        var detector: TableName?
        var workflow: TableName?
        var link: TableName?
        var dataSource: TableName?
        var dataSourceLink: TableName?
    }

    /// The settings of some sources, the strongest first, over the defaults.
    ///
    /// - Throws: ``Failure`` for the first value that cannot be understood.
    init(_ sources: [SettingsSource]) throws(Failure) {
        func text(_ key: SettingsKey) throws(Failure) -> SettingsValue<String>? {
            try sources.firstValue { source throws(Failure) in try source.text(key) }
        }
        func duration(_ key: SettingsKey, isZeroAllowed: Bool) throws(Failure) -> Duration? {
            let found = try sources.firstValue { source throws(Failure) in try source.number(key) }
            guard let found else { return nil }
            // A day is beyond any sense, and far from any overflow.
            guard found.value >= 0, found.value <= 86_400, isZeroAllowed || found.value >= 0.1 else {
                throw found.mistaken(
                    "\(found.value)",
                    "is out of range",
                    mend: "give seconds, \(isZeroAllowed ? "0 to bypass, " : "0.1 to ")86400 at the most"
                )
            }
            return .milliseconds(Int64((found.value * 1_000).rounded()))
        }
        func table(_ key: SettingsKey) throws(Failure) -> TableName? {
            guard let found = try text(key) else { return nil }
            guard let name = TableName(found.value) else {
                throw found.mistaken(found.value, "is no name of a table", mend: "write name or schema.name")
            }
            return name
        }

        if let found = try text(.postgres) { postgres.connectionString = found.value }
        if let found = try text(.redis) {
            do {
                redis = try RedisConfiguration(url: found.value)
            } catch {
                throw Failure(.configuration, "\(found.name): \(error)")
            }
        }
        let prefix = try text(.prefix)
        let name = try text(.namespace)
        do {
            namespace = try CacheNamespace(
                prefix: prefix?.value ?? namespace.prefix,
                name: name?.value ?? namespace.name
            )
        } catch {
            let found = error.part == "prefix" ? prefix : name
            throw Failure(found?.mistake ?? .configuration, "\(found.map { "\($0.name): " } ?? "")\(error)")
        }
        if let found = try text(.logLevel) {
            guard let level = Logger.Level(rawValue: found.value.lowercased()) else {
                let levels = Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")
                throw found.mistaken(found.value, "is no level", mend: "give one of \(levels)")
            }
            logLevel = level
        }
        if let lease = try duration(.leaseSeconds, isZeroAllowed: false) { limits.lease = lease }
        if let interval = try duration(.pollSeconds, isZeroAllowed: false) { pollInterval = interval }
        if let interval = try duration(.standbySeconds, isZeroAllowed: false) { standbyInterval = interval }
        if let age = try duration(.degradedSeconds, isZeroAllowed: true) {
            options.degradation = age > .zero ? .serve(upTo: age) : .bypass
        }
        if let found = try sources.firstValue({ source throws(Failure) in try source.number(.auditRate) }) {
            guard found.value == 0 || (found.value >= 0.01 && found.value <= 1_000) else {
                throw found.mistaken(
                    "\(found.value)",
                    "is out of range",
                    mend: "give entries a second, 0.01 to 1000, or 0 for none"
                )
            }
            auditRate = found.value
        }
        if let found = try sources.firstValue({ source throws(Failure) in try source.number(.changeHistory) }) {
            let lengths = ChangePublisher.lengths
            guard let length = Int(exactly: found.value), length == 0 || lengths.contains(length) else {
                throw found.mistaken(
                    "\(found.value)",
                    "is out of range",
                    mend: "give a whole number of changes, \(lengths.upperBound) at the most, or 0 for none"
                )
            }
            changeHistory = length
        }
        if let found = try text(.auditPostgres) {
            var configuration = postgres
            configuration.connectionString = found.value
            auditPostgres = configuration
        }
        if let found = try text(.http) {
            if found.value == "off" {
                http = .off
            } else if let address = HTTPAddress(found.value) {
                http = .at(address, isAskedFor: true)
            } else {
                throw found.mistaken(found.value, "is no address", mend: "give host:port, [::1]:port, or off")
            }
        }
        if let found = try text(.httpPage) {
            guard found.value == "on" || found.value == "off" else {
                throw found.mistaken(found.value, "is neither on nor off", mend: "give on or off")
            }
            showsPage = found.value == "on"
        }
        tables.detector = try table(.detectorTable)
        tables.workflow = try table(.workflowTable)
        tables.link = try table(.linkTable)
        tables.dataSource = try table(.dataSourceTable)
        tables.dataSourceLink = try table(.dataSourceLinkTable)
    }
}

/// The settings, by the names that they have as flags and in the file.
enum SettingsKey: String, CaseIterable, Sendable {
    case postgres
    case redis
    case prefix
    case namespace
    case logLevel = "log-level"
    case pollSeconds = "poll-seconds"
    case standbySeconds = "standby-seconds"
    case leaseSeconds = "lease-seconds"
    case degradedSeconds = "degraded-seconds"
    case auditRate = "audit-rate"
    case auditPostgres = "audit-postgres"
    case changeHistory = "change-history"
    case http
    case httpPage = "http-page"
    case detectorTable = "detector-table"
    case workflowTable = "workflow-table"
    case linkTable = "link-table"
    case dataSourceTable = "datasource-table"
    case dataSourceLinkTable = "datasource-link-table"

    /// Whether the value may hold a password, so that no message quotes it.
    var isSecret: Bool { [.postgres, .redis, .auditPostgres].contains(self) }
}

/// One place that settings come from.
struct SettingsSource: Sendable {
    /// The values.
    let values: any ConfigSnapshot
    /// What a person calls a setting there.
    let name: @Sendable (SettingsKey) -> String
    /// The status that a mistake there ends the process with.
    let mistake: ExitStatus
    /// Whether a value without a character counts as none.
    let ignoresEmpty: Bool

    fileprivate func text(_ key: SettingsKey) throws(Failure) -> SettingsValue<String>? {
        guard case .string(let text)? = try content(key, as: .string, "text"), !(ignoresEmpty && text.isEmpty) else {
            return nil
        }
        return SettingsValue(value: text, name: name(key), mistake: mistake)
    }

    fileprivate func number(_ key: SettingsKey) throws(Failure) -> SettingsValue<Double>? {
        if ignoresEmpty, let text = try? content(key, as: .string, "text"), text == .string("") { return nil }
        guard case .double(let number)? = try content(key, as: .double, "a number"), !number.isNaN else { return nil }
        return SettingsValue(value: number, name: name(key), mistake: mistake)
    }

    private func content(_ key: SettingsKey, as type: ConfigType, _ what: String) throws(Failure) -> ConfigContent? {
        do {
            return try values.value(forKey: AbsoluteConfigKey([key.rawValue]), type: type).value?.content
        } catch {
            // The provider only says that it cannot convert; the value itself is worth showing where it is no secret.
            var shown = ""
            if !key.isSecret, type != .string, case .string(let text)? = try? content(key, as: .string, "text") {
                shown = " \"\(text)\""
            }
            throw Failure(
                mistake,
                "\(name(key))\(shown): is not \(what); give it \(what)\(type == .string ? ", in quotation marks" : "")"
            )
        }
    }
}

/// A value with what its source is called.
private struct SettingsValue<Value> {
    let value: Value
    let name: String
    let mistake: ExitStatus

    func mistaken(_ shown: String, _ what: String, mend: String) -> Failure {
        Failure(mistake, "\(name) \"\(shown)\": \(what); \(mend)")
    }
}

extension [SettingsSource] {
    fileprivate func firstValue<Value>(
        _ read: (SettingsSource) throws(Failure) -> Value?
    ) throws(Failure) -> Value? {
        for source in self {
            if let value = try read(source) { return value }
        }
        return nil
    }
}
