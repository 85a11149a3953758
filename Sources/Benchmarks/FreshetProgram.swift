import LocalServices

/// The executable `freshet` that was built beside this one.
enum FreshetProgram {
    /// The folder of this executable, which the others are built into as well.
    private static let folder =
        CommandLine.arguments[0].split(separator: "/", omittingEmptySubsequences: false)
        .dropLast().joined(separator: "/")

    /// The path of an executable that was built beside this one.
    static func path(of name: String) -> String { "\(folder)/\(name)" }

    /// Brings the schema up to date, and attaches the triggers.
    static func migrate(conninfo: String, redis: String) async throws {
        let migration = try program(["migrate", "--postgres", conninfo, "--redis", redis])
        do {
            try await migration.start()
            try await until("the triggers to be attached") { migration.ending != nil }
            guard migration.ending == "it exited with status 0" else {
                throw NotWarm(description: try migration.log())
            }
        } catch {
            await migration.destroy()
            throw error
        }
        await migration.destroy()
    }

    /// That a worker answers over HTTP and counts metrics, as it does unless told otherwise: at a port of its own.
    static let answers = ["--http", "127.0.0.1:0"]
    /// That a worker keeps no history of changes in Redis.
    static let forgets = ["--change-history", "0"]

    /// A worker that leads, with the settings that it has by itself.
    ///
    /// - Parameter options: Others.
    static func worker(conninfo: String, redis: String, options: [String] = []) async throws -> LocalProgram {
        let worker = try program(["run", "--postgres", conninfo, "--redis", redis] + answers + options)
        do {
            try await worker.start()
            try await until("the worker to lead") { try worker.log().contains("Leading") }
        } catch {
            let log = (try? worker.log()) ?? ""
            await worker.destroy()
            throw NotWarm(description: "\(error): \(log)")
        }
        return worker
    }

    private static func program(_ arguments: [String]) throws -> LocalProgram {
        try LocalProgram(executable: path(of: "freshet"), arguments: arguments)
    }

    /// Asks again and again, for a minute at most: a program says nothing when it is ready but to its log.
    static func until(_ what: String, _ isTrue: () async throws -> Bool) async throws {
        let end = ContinuousClock.now + .seconds(60)
        while try await !isTrue() {
            guard .now < end else { throw NotWarm(description: "waited 60 s for \(what)") }
            try await Task.sleep(for: .milliseconds(20))
        }
    }
}
