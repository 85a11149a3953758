import Subprocess
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Runs of the program that breaks everything: a short one that must find nothing, and short ones that must find something.
///
/// `FRESHET_CHAOS_SECONDS` in the environment says how long the first one takes, `FRESHET_CHAOS_SEED` with which faults.
@Suite(.serialized) struct ChaosTests {
    @Test func `nothing is stale beyond its bound and nothing is lost while everything is broken`() async throws {
        let environment = ProcessInfo.processInfo.environment
        var arguments = ["--seconds", environment["FRESHET_CHAOS_SECONDS"] ?? "40"]
        if let seed = environment["FRESHET_CHAOS_SEED"] { arguments += ["--seed", seed] }
        let (isWell, output) = try await chaos(arguments)
        print(output)
        #expect(isWell)
    }

    /// With seeds by which much is found, so that a quiet run does not look like a blind one.
    @Test(arguments: zip(["deleting", "trusting"], ["3", "2"]))
    func `a cache that is wrong on purpose is found out`(cache: String, seed: String) async throws {
        let (isFound, output) = try await chaos(["--seconds", "20", "--seed", seed, "--break", cache])
        if !isFound { print(output) }
        #expect(isFound)
    }

    /// - Returns: Whether it succeeded, and what it printed.
    private func chaos(_ arguments: [String]) async throws -> (Bool, String) {
        // The executables that were built with the tests lie beside them.
        let path = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let folder = path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
        let result = try await Subprocess.run(
            .name("env"),
            arguments: Arguments(["\(folder)/Chaos"] + arguments),
            input: .none,
            output: .string(limit: 16 * 1_024 * 1_024),
            error: .string(limit: 1_024 * 1_024)
        )
        if case .exited(0) = result.terminationStatus { return (true, result.standardOutput) }
        return (false, result.standardOutput + result.standardError)
    }
}
