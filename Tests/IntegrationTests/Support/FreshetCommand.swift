import Foundation
import Subprocess
import Testing

/// What no message may show.
let testSecret = "s3cr3t-w0rd"

/// The executable, which is built beside the tests.
let freshetExecutable: String = {
    let tests = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
    return URL(fileURLWithPath: tests).deletingLastPathComponent().appendingPathComponent("freshet").path
}()

/// Runs some tests of this program in a process of its own, which must end well.
func runThisProgram(filter: String, _ variables: [String: String]) async throws {
    let program = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    let result = try await Subprocess.run(
        .name("env"),
        arguments: Arguments(["--", program, "--testing-library", "swift-testing", "--filter", filter]),
        environment: cleanEnvironment(variables),
        input: .none,
        output: .string(limit: 1_024 * 1_024),
        error: .string(limit: 1_024 * 1_024)
    )
    #expect(result.terminationStatus == .exited(0), "\(result.standardOutput)\n\(result.standardError)")
}

/// How a run of the executable ended, and what it printed.
struct CommandOutcome: CustomStringConvertible {
    var status: TerminationStatus
    var output: String
    var complaint: String

    var everything: String { output + complaint }
    var description: String { "\(status)\n\(output)\n\(complaint)" }

    /// One line on standard error, nothing on standard output, a status, and no secret.
    func isMistake(_ code: Int32, _ hint: String, at location: SourceLocation = #_sourceLocation) throws {
        #expect(status == .exited(code), "\(self)", sourceLocation: location)
        #expect(output.isEmpty, sourceLocation: location)
        let lines = complaint.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines.count == 2 && lines.last == "", "one line: \(complaint)", sourceLocation: location)
        #expect(complaint.hasPrefix("freshet: "), sourceLocation: location)
        #expect(complaint.contains(hint), "\(complaint)", sourceLocation: location)
        #expect(!complaint.contains(testSecret), sourceLocation: location)
    }

    func decoded<Value: Decodable>(_ type: Value.Type) throws -> Value {
        try JSONDecoder().decode(type, from: Data(output.utf8))
    }
}

/// The environment of the tests without anything that is a setting.
func cleanEnvironment(_ variables: [String: String]) -> Environment {
    let inherited = ProcessInfo.processInfo.environment.filter { ["PATH", "HOME", "TMPDIR"].contains($0.key) }
    // Many workers run at once, and who asks one over HTTP gives it an address of its own.
    let all = inherited.merging(["LC_ALL": "C", "FRESHET_HTTP": "off"]) { _, new in new }.merging(variables) { _, new in
        new
    }
    return .custom(Dictionary(uniqueKeysWithValues: all.map { (Environment.Key(stringLiteral: $0.key), $0.value) }))
}

/// Runs the executable to its end.
func freshet(_ arguments: [String], _ environment: [String: String] = [:]) async throws -> CommandOutcome {
    let result = try await Subprocess.run(
        .name("env"),
        arguments: Arguments(["--", freshetExecutable] + arguments),
        environment: cleanEnvironment(environment),
        input: .none,
        output: .string(limit: 1_024 * 1_024),
        error: .string(limit: 1_024 * 1_024)
    )
    return CommandOutcome(
        status: result.terminationStatus,
        output: result.standardOutput,
        complaint: result.standardError
    )
}
