import Subprocess

/// A program that the tests ran did not succeed.
struct ProgramFailure: Error {
    var program: String
    var status: TerminationStatus
    var standardOutput: String
    var standardError: String
}

/// Runs a program to its end and returns what it printed.
@discardableResult
func run(_ program: String, _ arguments: [String]) async throws -> String {
    let result = try await Subprocess.run(
        .name(program),
        arguments: Arguments(arguments),
        output: .string(limit: 16 * 1_024 * 1_024),
        error: .string(limit: 16 * 1_024 * 1_024)
    )
    guard case .exited(0) = result.terminationStatus else {
        throw ProgramFailure(
            program: program,
            status: result.terminationStatus,
            standardOutput: result.standardOutput,
            standardError: result.standardError
        )
    }
    return result.standardOutput
}
