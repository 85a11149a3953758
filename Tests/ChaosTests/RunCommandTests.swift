import ArgumentParser
import Foundation
import Testing

@testable import Chaos

/// The command line of a run, without a run.
@Suite struct RunCommandTests {
    @Test func `what repeats a run names all that it was told`() {
        #expect(
            RunCommand.repetition(
                seconds: 1_800,
                seed: 7,
                leaseSeconds: 3,
                degradedSeconds: 9,
                broken: .trusting,
                isOptimised: true
            )
                == "CONFIGURATION=release deploy/chaos --seconds 1800 --seed 7 --lease-seconds 3 --degraded-seconds 9 --break trusting"
        )
        let plain = RunCommand.repetition(
            seconds: 40,
            seed: 1,
            leaseSeconds: 2,
            degradedSeconds: 6,
            broken: nil,
            isOptimised: false
        )
        #expect(plain == "deploy/chaos --seconds 40 --seed 1 --lease-seconds 2 --degraded-seconds 6")
        #expect(throws: Never.self) { try RunCommand.parse(plain.split(separator: " ").dropFirst().map { String($0) }) }
    }

    @Test func `evidence is not kept over something that is there already`() throws {
        let there = FileManager.default.temporaryDirectory.appending(
            path: "freshet-test-\(UInt64.random(in: .min ... .max))"
        )
        try FileManager.default.createDirectory(at: there, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(at: there) }
        let path = there.path(percentEncoded: false)
        #expect(throws: (any Error).self) { try RunCommand.parse(["--keep", path]) }
        #expect(throws: Never.self) { try RunCommand.parse(["--keep", "\(path)/new"]) }
    }
}
