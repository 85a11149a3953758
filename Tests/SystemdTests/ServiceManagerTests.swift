import Glibc
import Testing

@testable import Systemd

@Suite struct ServiceManagerTests {
    private static let names = ["/tmp/freshet-\(getpid())-notify", "@freshet-\(getpid())-notify"]

    @Test(arguments: names)
    func `what is told arrives as one datagram, on a path and on an abstract name`(name: String) throws {
        let socket = try ReceivingSocket(name)
        let manager = try #require(try ServiceManager(["NOTIFY_SOCKET": name], processID: getpid()))
        try manager.notify([.ready, .status("Leading"), .watchdog])
        #expect(socket.receive() == "READY=1\nSTATUS=Leading\nWATCHDOG=1")
        try manager.notify([.stopping])
        #expect(socket.receive() == "STOPPING=1")
        try manager.notify([.extendTimeout(.milliseconds(1_500))])
        #expect(socket.receive() == "EXTEND_TIMEOUT_USEC=1500000")
        #expect(socket.receive() == nil)
    }

    @Test func `a status with line feeds makes no assignments of its own`() throws {
        #expect(ServiceNotification.status("a\nREADY=1\r\nb").text == "STATUS=a READY=1 b")
    }

    @Test func `a reload says when it began on the monotonic clock`() throws {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        let lines = ServiceNotification.reloading.text.split(separator: "\n")
        #expect(lines.first == "RELOADING=1")
        let microseconds = try #require(lines.last?.split(separator: "=").last.flatMap { Int($0) })
        #expect(lines.last == "MONOTONIC_USEC=\(microseconds)")
        #expect(microseconds >= now.tv_sec * 1_000_000)
        #expect(microseconds < (now.tv_sec + 600) * 1_000_000)
    }

    @Test func `nobody is told anything where there is no manager`() throws {
        #expect(try ServiceManager([:], processID: 1) == nil)
        #expect(try ServiceManager(["NOTIFY_SOCKET": ""], processID: 1) == nil)
    }

    @Test(arguments: ["relative", "@", "/", "vsock:2:9999", "/" + String(repeating: "x", count: 108)])
    func `what names no socket is refused`(name: String) {
        #expect(throws: SystemdError.self) { try ServiceManager(["NOTIFY_SOCKET": name], processID: 1) }
    }

    @Test func `the longest names are taken whole`() throws {
        let name = "@freshet-\(getpid())-"
        let longest = name + String(repeating: "x", count: 108 - name.utf8.count)
        let socket = try ReceivingSocket(longest)
        let manager = try #require(try ServiceManager(["NOTIFY_SOCKET": longest], processID: 1))
        try manager.notify([.ready])
        #expect(socket.receive() == "READY=1")
    }

    @Test func `a watchdog is ours where it names this process or none`() throws {
        func interval(_ variables: [String: String]) throws -> Duration? {
            let all = variables.merging(["NOTIFY_SOCKET": "@x"]) { $1 }
            return try #require(try ServiceManager(all, processID: 7)).watchdogInterval
        }
        #expect(try interval(["WATCHDOG_USEC": "45000000"]) == .seconds(45))
        #expect(try interval(["WATCHDOG_USEC": "45000000", "WATCHDOG_PID": "7"]) == .seconds(45))
        #expect(try interval(["WATCHDOG_USEC": "45000000", "WATCHDOG_PID": "8"]) == nil)
        #expect(try interval(["WATCHDOG_PID": "7"]) == nil)
        #expect(throws: SystemdError.self) { try interval(["WATCHDOG_USEC": "soon"]) }
        #expect(throws: SystemdError.self) { try interval(["WATCHDOG_USEC": "0"]) }
    }

    @Test func `a manager that is gone is an error that names the socket`() throws {
        let manager = try #require(try ServiceManager(["NOTIFY_SOCKET": "/tmp/freshet-gone/x"], processID: 1))
        let error = #expect(throws: SystemdError.self) { try manager.notify([.ready]) }
        #expect(error?.description.contains("/tmp/freshet-gone/x") == true)
    }

    @Test func `a manager that does not read holds nobody up`() throws {
        let name = "@freshet-\(getpid())-deaf"
        let socket = try ReceivingSocket(name)
        let manager = try #require(try ServiceManager(["NOTIFY_SOCKET": name], processID: 1))
        // Far more than any queue takes: were it to wait, this would not end.
        #expect(throws: SystemdError.self) {
            for _ in 0..<100_000 { try manager.notify([.watchdog]) }
        }
        #expect(socket.receive() == "WATCHDOG=1")
    }

    @Test func `nothing of it is left for children`() throws {
        setenv("NOTIFY_SOCKET", "@freshet-environment", 1)
        setenv("WATCHDOG_USEC", "1000000", 1)
        setenv("WATCHDOG_PID", "\(getpid())", 1)
        let manager = try #require(try ServiceManager.takeFromEnvironment())
        #expect(manager.watchdogInterval == .seconds(1))
        for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] { #expect(getenv(name) == nil) }
    }

    @Test func `the journal is known by device and inode`() throws {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        defer { ends.forEach { close($0) } }
        var status = stat()
        try #require(fstat(ends[1], &status) == 0)
        #expect(JournalStream.leads(ends[1], to: "\(status.st_dev):\(status.st_ino)"))
        #expect(!JournalStream.leads(ends[1], to: "\(status.st_dev):\(status.st_ino + 1)"))
        #expect(!JournalStream.leads(ends[1], to: ""))
        #expect(!JournalStream.leads(ends[1], to: nil))
    }
}
