import Foundation
import InvalidationWorker
import Logging
import Postgres
import Synchronization
import Testing

@testable import FreshetCommand

@Suite struct LiveSettingsTests {
    /// The text of a configuration file, to be changed under a worker.
    private final class File: Sendable {
        let text: Mutex<String>

        init(_ text: String) { self.text = Mutex(text) }

        func read() throws(Failure) -> Settings {
            try Settings([.file("x.json", holding: Array(text.withLock { $0 }.utf8))])
        }
    }

    private let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    @Test func `level and intervals are read again`() throws {
        let file = File(#"{"log-level": "info"}"#)
        let live = try LiveSettings { () throws(Failure) in try file.read() }
        let logger = Logger(label: "x") { LineLogHandler(label: $0, threshold: live.threshold) }
        #expect(logger.logLevel == .info)
        #expect(live.intervals.poll == .seconds(1))
        #expect(live.intervals.leadership == .milliseconds(500))
        file.text.withLock { $0 = #"{"log-level": "debug", "poll-seconds": 0.25, "standby-seconds": 2}"# }
        live.reload(quiet)
        #expect(logger.logLevel == .debug)
        #expect(live.intervals.poll == .milliseconds(250))
        #expect(live.intervals.leadership == .seconds(2))
    }

    @Test func `a poll interval leaves room for several passes in a lease`() throws {
        let file = File(#"{"lease-seconds": 2, "poll-seconds": 60}"#)
        #expect(try LiveSettings { () throws(Failure) in try file.read() }.intervals.poll == .milliseconds(500))
    }

    @Test func `a mistake changes nothing`() throws {
        let file = File(#"{"log-level": "warning", "poll-seconds": 0.5}"#)
        let live = try LiveSettings { () throws(Failure) in try file.read() }
        for mistake in [#"{"log-level": "loud", "poll-seconds": 3}"#, "{", #"{"poll": 3}"#, #"{"poll-seconds": 0}"#] {
            file.text.withLock { $0 = mistake }
            live.reload(quiet)
            #expect(live.threshold.level == .warning)
            #expect(live.intervals.poll == .milliseconds(500))
        }
    }

    @Test func `credentials are whole lines, stronger than the file and weaker than the environment`() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("freshet-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        func write(_ text: String, _ name: String) throws {
            try Data(text.utf8).write(to: folder.appendingPathComponent(name))
        }
        try write("dbname=app password=x\n", "postgres")
        try write("redis://credential\r\n", "redis")
        try write("info", "log-level")
        let sources = try [
            SettingsSource.environment(["FRESHET_REDIS": "redis://environment"]),
            .credentials(in: folder.path),
            .file("x.json", holding: Array(#"{"postgres": "dbname=file", "log-level": "error"}"#.utf8)),
        ]
        let settings = try Settings(sources)
        #expect(settings.postgres.connectionString == "dbname=app password=x")
        #expect("\(settings.redis)".contains("environment"))
        #expect(settings.logLevel == .error)

        try write("dbname=app\npassword=s3cr3t\n", "postgres")
        let failure = #expect(throws: Failure.self) { try SettingsSource.credentials(in: folder.path) }
        #expect(failure?.message.contains("more than one line") == true)
        #expect(failure?.message.contains("s3cr3t") == false)
    }
}
