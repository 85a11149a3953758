import Foundation
import LocalServices
import Subprocess
import Testing

/// The clocks that clients are made to believe in.
@Suite struct SteppableClockTests {
    @Test func `each host has a time of day of its own, and sees at once when it is set`() async throws {
        let clock = try #require(try await SteppableClock.make(), "no C compiler, though Swift brings one")
        defer { clock.destroy() }
        let other = try clock.another(for: "other")
        #expect(try await isAhead(clock, by: 0))
        try clock.set(aheadBySeconds: 1_000)
        #expect(try await isAhead(clock, by: 1_000))
        #expect(try await isAhead(other, by: 0))
        try other.set(aheadBySeconds: -500)
        try clock.set(aheadBySeconds: 0)
        #expect(try await isAhead(other, by: -500))
        #expect(try await isAhead(clock, by: 0))
    }

    /// Whether a program on the clock's host sees it ahead by so much.
    private func isAhead(_ clock: SteppableClock, by seconds: Int) async throws -> Bool {
        let before = Int(Date().timeIntervalSince1970)
        let result = try await Subprocess.run(
            .name("env"),
            arguments: Arguments(clock.environment.map { "\($0.key)=\($0.value)" } + ["date", "+%s"]),
            input: .none,
            output: .string(limit: 1_024),
            error: .discarded
        )
        let after = Int(Date().timeIntervalSince1970)
        let seen = try #require(Int(result.standardOutput.trimmingCharacters(in: .newlines)))
        return (before + seconds...after + seconds).contains(seen)
    }
}
