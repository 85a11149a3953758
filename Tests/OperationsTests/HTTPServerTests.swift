import Foundation
import Glibc
import Logging
import ServiceLifecycle
import Testing

@testable import Operations

/// The server on real sockets.
@Suite struct HTTPServerTests {
    private func withServer(at host: String = "127.0.0.1", _ body: (HTTPServer) async throws -> Void) async throws {
        let server = try await HTTPServer.listen(at: HTTPAddress(host: host, port: 0)) { question in
            let reach = question.isLoopback ? "loopback" : "network"
            return HTTPAnswer.line(200, "\(question.method) \(question.target) \(reach)")
        }
        do {
            try await body(server)
        } catch {
            await server.close()
            throw error
        }
        await server.close()
    }

    private static func exchange(_ server: HTTPServer, _ request: String) async throws -> String {
        try await offThePool {
            let socket = try Socket(port: server.address.port)
            try socket.send(request)
            return socket.receiveAll()
        }
    }

    /// Does something that blocks where it holds up nobody: answers are made on the threads of the pool.
    private static func offThePool<Result: Sendable>(
        _ body: @escaping @Sendable () throws -> Result
    ) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            // A thread of its own: those of Dispatch's global queues are the ones that tasks run on, and there are as many as cores.
            Thread.detachNewThread { continuation.resume(with: Swift.Result { try body() }) }
        }
    }

    @Test(arguments: [("127.0.0.1", "loopback"), ("LOCALHOST", "loopback"), ("0.0.0.0", "network")])
    func `loopback is where it listens, however that was written`(_ host: String, _ reach: String) async throws {
        try await withServer(at: host) { server in
            let text = try await Self.exchange(server, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            #expect(text.contains("GET / \(reach)\n"))
        }
    }

    @Test func `HEAD has the length of the answer, and no body`() async throws {
        try await withServer { server in
            let text = try await Self.exchange(server, "HEAD /abc HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            #expect(text.hasPrefix("HTTP/1.1 200 OK\r\n"))
            #expect(text.contains("Content-Length: 19\r\n"))
            #expect(text.hasSuffix("\r\n\r\n"))
        }
    }

    @Test func `what is asked in one go is answered in order, on one connection`() async throws {
        try await withServer { server in
            let text = try await Self.exchange(
                server,
                "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
                    + "GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            )
            #expect(text.split(separator: "\r\n").filter { $0.hasPrefix("GET /") }.count == 3)
            let places = ["GET /1 ", "GET /2 ", "GET /3 "].compactMap { text.firstRange(of: $0)?.lowerBound }
            #expect(places.count == 3 && places == places.sorted())
        }
    }

    @Test func `HTTP 1.0 is answered and closed`() async throws {
        try await withServer { server in
            let text = try await Self.exchange(server, "GET /old HTTP/1.0\r\n\r\n")
            #expect(text.hasSuffix("GET /old loopback\n"))
        }
    }

    @Test func `garbage is refused, and so is a body that nobody needs`() async throws {
        try await withServer { server in
            let refusal = try await Self.exchange(server, "hello\r\n\r\n")
            #expect(refusal.hasPrefix("HTTP/1.1 400"))
            let long = String(repeating: "x", count: HTTPServer.bodyLimit + 1)
            let text = try await Self.exchange(
                server,
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(long.utf8.count)\r\n\r\n\(long)"
            )
            #expect(text.hasPrefix("HTTP/1.1 413"))
        }
    }

    @Test func `one connection too many is closed, and the others are answered`() async throws {
        try await withServer { server in
            let sockets = try await Self.offThePool {
                try (0..<HTTPServer.connectionsAtMost).map { _ in
                    let socket = try Socket(port: server.address.port)
                    // Answered, so that it is known to be counted.
                    try socket.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                    #expect(socket.receiveSome().hasPrefix("HTTP/1.1 200"))
                    return socket
                }
            }
            let refused = try await Self.exchange(server, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(refused == "")
            let still = try await Self.offThePool {
                try sockets[0].send("GET /still HTTP/1.1\r\nHost: a\r\n\r\n")
                return sockets[0].receiveSome()
            }
            #expect(still.contains("GET /still"))
        }
    }

    @Test func `an address in use is named`() async throws {
        try await withServer { server in
            await #expect(throws: HTTPServer.BindFailure.self) {
                _ = try await HTTPServer.listen(at: server.address) { _ in .line(200, "") }
            }
            do {
                _ = try await HTTPServer.listen(at: server.address) { _ in .line(200, "") }
            } catch {
                #expect("\(error)" == "\(server.address): is in use")
            }
        }
    }

    @Test func `a graceful shutdown ends it, and the connections on which nobody asks`() async throws {
        try await withServer { server in
            let group = ServiceGroup(
                services: [server],
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            )
            let idle = try await Self.offThePool {
                let socket = try Socket(port: server.address.port)
                try socket.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                #expect(socket.receiveSome().hasPrefix("HTTP/1.1 200"))
                return socket
            }
            async let ended: Void = group.run()
            await group.triggerGracefulShutdown()
            try await ended
            let rest = try await Self.offThePool { idle.receiveAll() }
            #expect(rest == "")
            await #expect(throws: (any Error).self) { try await Self.exchange(server, "GET / HTTP/1.1\r\n\r\n") }
        }
    }

    @Test(arguments: [
        ("127.0.0.1:80", "127.0.0.1:80"), ("[::1]:0", "[::1]:0"), ("localhost:65535", "localhost:65535"),
    ])
    func `an address is a host and a port`(text: String, told: String) {
        #expect(HTTPAddress(text)?.description == told)
    }

    @Test(arguments: [
        "", "9464", ":9464", "a:", "a:b", "a:-1", "a:+1", "a:65536", "::1:80", "a b:1", "http://a:1", "a@b:1", "[::1:1",
    ])
    func `anything else is none`(text: String) {
        #expect(HTTPAddress(text) == nil)
    }
}

/// A blocking socket, which gives up after some seconds.
private final class Socket: Sendable {
    struct Failure: Error {
        var code: Int32
    }

    private let descriptor: Int32

    init(port: Int) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else {
            let code = errno
            close(descriptor)
            throw Failure(code: code)
        }
    }

    deinit { close(descriptor) }

    func send(_ text: String) throws {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            // Whoever was refused in the middle reads why.
            guard count > 0 else { return }
            bytes = bytes.dropFirst(count)
        }
    }

    func receiveSome() -> String {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        return String(decoding: buffer[..<max(count, 0)], as: UTF8.self)
    }

    func receiveAll() -> String {
        var text = ""
        while true {
            let some = receiveSome()
            if some.isEmpty { return text }
            text += some
        }
    }
}
