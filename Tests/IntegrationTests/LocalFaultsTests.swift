import FoundationEssentials
import Glibc
import LocalServices
import Testing

/// What faults are made with: programs that are killed, clocks that are set, disks that are full.
@Suite struct LocalFaultsTests {
    @Test func `a server does not keep open what this process has open`() async throws {
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        let server = try await LocalRedis.start()
        close(ends[1])
        var event = pollfd(fd: ends[0], events: Int16(POLLIN), revents: 0)
        #expect(poll(&event, 1, 5_000) == 1, "the other end is open in the server")
        #expect(Int32(event.revents) & Int32(POLLHUP) != 0)
        close(ends[0])
        await server.destroy()
    }

    @Test func `a program is suspended, killed, started again and asked to leave`() async throws {
        let program = try LocalProgram(
            executable: "/bin/sh",
            arguments: ["-c", "trap 'echo leaving; exit 0' TERM; echo $WORD; while true; do sleep 0.05; done"],
            environment: ["WORD": "working"]
        )
        try await program.start()
        let first = try #require(program.processIdentifier)
        // Killed sooner it would never have said so.
        _ = try await eventually("the program to work") { try program.log() == "working\n" ? true : nil }
        try program.suspend()
        let state = FileManager.default.contents(atPath: "/proc/\(first)/stat") ?? Data()
        #expect(String(decoding: state, as: UTF8.self).contains(" T "))
        try program.resume()
        try await program.kill()
        #expect(kill(first, 0) != 0)
        try await program.start()
        _ = try await eventually("the program to work again") {
            try program.log().contains("working\nworking\n") ? true : nil
        }
        #expect(program.ending == nil)
        #expect(try await program.stop() == nil)
        #expect(try program.log() == "working\nworking\nleaving\n")
        await program.destroy()
    }

    @Test func `a Redis that cannot save refuses writes until it can`() async throws {
        let server = try await LocalRedis.start(options: ["enable-protected-configs": "yes"])
        try await server.makeSavingFail()
        try await server.command("SET", "a", "1")
        _ = try await eventually("writes to be refused") { () -> Bool? in
            do {
                try await server.command("SET", "a", "2")
                return nil
            } catch let error as LocalServiceError where error.message.contains("MISCONF") {
                return true
            }
        }
        try await server.letSavingWork()
        try await server.command("SET", "a", "3")
        #expect(try await server.command("GET", "a") == "3")
        await server.destroy()
    }

    @Test func `a Redis that is short of memory evicts, and one that is full refuses writes`() async throws {
        let server = try await LocalRedis.start()
        let writing = Task {
            var refused = 0
            for number in 0... {
                guard !Task.isCancelled else { break }
                do {
                    try await server.command("SET", "key \(number % 500)", String(repeating: "x", count: 1_000))
                } catch let error as LocalServiceError where error.message.contains("OOM") {
                    refused += 1
                } catch {
                    // One that is cancelled under way fails.
                    guard Task.isCancelled else { throw error }
                }
            }
            return refused
        }
        _ = try await eventually("enough to evict") {
            try await Int(server.command("DBSIZE")) ?? 0 >= 200 ? true : nil
        }
        let evicting = try await server.limitMemory(policy: "allkeys-random", for: .seconds(1))
        #expect(evicting.evictedKeys > 0)
        let full = try await server.limitMemory(policy: "noeviction", for: .seconds(1))
        #expect(full.evictedKeys == 0)
        #expect(full.refusedCommands > 0)
        try await server.command("SET", "afterwards", "1")
        writing.cancel()
        #expect(try await writing.value >= full.refusedCommands)
        await server.destroy()
    }

    @Test func `the clock of a Redis is set`() async throws {
        let clock = try #require(try await SteppableClock.make(), "no C compiler, though Swift brings one")
        let server = try await LocalRedis.start(environment: clock.environment)
        func isAhead(by seconds: Int) async throws -> Bool {
            let before = Int(Date().timeIntervalSince1970)
            let time = try await server.command("TIME").split(separator: "\n").first.flatMap { Int($0) } ?? 0
            return (before + seconds - 1...Int(Date().timeIntervalSince1970) + seconds + 1).contains(time)
        }
        #expect(try await isAhead(by: 0))
        try clock.set(aheadBySeconds: 100)
        #expect(try await isAhead(by: 100))
        try clock.set(aheadBySeconds: -100)
        #expect(try await isAhead(by: -100))
        await server.destroy()
        clock.destroy()
    }
}
