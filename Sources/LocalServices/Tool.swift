import Glibc
import Subprocess

/// A program that runs to its end: initdb, psql, openssl and their like.
enum Tool {
    /// What servers and tools get to see: no locale (messages and sort order are the same everywhere, also where no locale
    /// is installed or another one is set), and none of the PG* variables that are meant for the user's own database.
    static let environment: [String: String] = [
        "PATH": getenv("PATH").map { String(cString: $0) } ?? "/usr/local/bin:/usr/bin:/bin",
        "LC_ALL": "C",
    ]

    /// Most a tool may print.
    private static let outputLimit = 16 * 1_024 * 1_024

    /// Runs a program and returns what it wrote to standard output.
    static func run(
        _ executable: String,
        _ arguments: [String],
        as account: ServiceAccount = .current,
        environment extra: [String: String] = [:],
        package: String
    ) async throws -> String {
        // Subprocess looks names up in PATH; a program that is known by its path goes through env.
        let prefix: [String] =
            if account != .current {
                ["setpriv"] + account.setprivArguments + ["--"]
            } else if executable.hasPrefix("/") {
                ["env", "--"]
            } else {
                []
            }
        let words = prefix + [executable] + arguments
        let variables = environment.merging(extra) { _, new in new }
        let program = words[0]
        let result: ExecutionResult<Void, StringOutput<UTF8>, StringOutput<UTF8>>
        do {
            result = try await Subprocess.run(
                .name(program),
                arguments: Arguments(Array(words.dropFirst())),
                environment: .custom(
                    Dictionary(
                        uniqueKeysWithValues: variables.map { (Environment.Key(stringLiteral: $0.key), $0.value) }
                    )
                ),
                // Text for the input would be fatal: where the program ends before it has read, Subprocess 1.0.2 traps.
                input: .none,
                output: .string(limit: outputLimit),
                error: .string(limit: outputLimit)
            )
        } catch let error as SubprocessError where error.code == .executableNotFound {
            let needed = prefix.isEmpty ? package : "util-linux"
            throw LocalServiceError(.notInstalled, "\(program) is not installed: apt-get install \(needed)")
        }
        guard case .exited(0) = result.terminationStatus else {
            let name = executable.split(separator: "/").last ?? "tool"
            let said = [result.standardError, result.standardOutput]
                .flatMap { $0.split(separator: "\n") }
                .map(String.init)
            // The first error is the cause; what follows is usually its echo.
            let reason = said.first { $0.lowercased().contains("error") } ?? said.last ?? "it said nothing"
            throw LocalServiceError(.toolFailed, "\(name) failed (\(result.terminationStatus)): \(reason)")
        }
        return result.standardOutput
    }
}
