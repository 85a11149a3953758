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
}
