import ArgumentParser
import Logging

/// What a process of the load is told about where things are.
struct ClientOptions: ParsableArguments {
    @Option(help: "What the process is called in reports.")
    var name: String

    @Option(help: "The connection string of Postgres.")
    var postgres: String

    @Option(help: "The URL of Redis.")
    var redis: String

    @Option(help: "The files to record to, without the number of the start.")
    var record: String

    @Option(help: "What random choices begin with.")
    var seed: UInt64

    @Option(help: "How old an entry may be while nobody vouches for it, in milliseconds.")
    var degradedMilliseconds: Int

    @Option(help: "What the cache is: freshet, or something that is wrong on purpose.")
    var cache = CacheKind.freshet
}

/// What stands between the readers and Postgres.
enum CacheKind: String, CaseIterable, ExpressibleByArgument {
    case freshet
    /// Freshet, whose promises are not asked for: entries are served whoever vouches for them.
    case trusting
    /// A time to live, and keys deleted by whoever has written.
    case deleting
}

extension Logger {
    /// Warnings, to standard error, which the stage keeps.
    static func client(_ name: String) -> Logger {
        var logger = Logger(label: name) { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = .error
        return logger
    }
}
