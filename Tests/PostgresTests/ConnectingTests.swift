import Glibc
import Logging
import Testing

@testable import Postgres

/// A TCP socket of this process that takes connections and never says a word.
private final class SilentServer: Sendable {
    let port: UInt16
    private let socket: Int32

    init() throws {
        let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        // Rebound because the socket calls take the general type of an address.
        let isListening = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { general in
                bind(socket, general, length) == 0 && listen(socket, 16) == 0
                    && getsockname(socket, general, &length) == 0
            }
        }
        guard isListening else { throw PostgresError(.resourcesExhausted, "no socket for a test") }
        self.socket = socket
        port = UInt16(bigEndian: address.sin_port)
    }

    deinit {
        close(socket)
    }
}

@Suite struct ConnectingTests {
    let logger = Logger(label: "test")

    func failure(_ connectionString: String, within limit: Duration = .seconds(20)) async -> PostgresError? {
        let configuration = PostgresConfiguration(connectionString: connectionString, connectTimeLimit: limit)
        return await #expect(throws: PostgresError.self) {
            _ = try await PostgresConnection.connect(configuration, logger: logger)
        }
    }

    @Test func `a closed port is an unreachable server`() async throws {
        let error = await failure("host=127.0.0.1 port=1 user=app password=s3cret dbname=x")
        #expect(error?.code == .cannotConnect)
        #expect(error?.isRetryable == true)
        #expect(error?.message.contains("server at \"127.0.0.1\", port 1: Connection refused") == true)
        #expect(error?.message.contains("s3cret") == false)
        #expect(error?.file == #fileID)
    }

    @Test func `a missing socket is an unreachable server`() async throws {
        let error = await failure("host=/nowhere/at/all user=app")
        #expect(error?.code == .cannotConnect)
        #expect(error?.message.contains("/nowhere/at/all/.s.PGSQL.5432") == true)
    }

    @Test func `a wrong value of an option is a mistake of configuration`() async throws {
        #expect(await failure("host=127.0.0.1 sslmode=maybe")?.code == .invalidConfiguration)
        #expect(await failure("host=127.0.0.1 port=http")?.code == .invalidConfiguration)
        #expect(await failure("host=a,b port=1,2,3")?.code == .invalidConfiguration)
        #expect(await failure("not a connection string")?.code == .invalidConfiguration)
    }

    @Test func `a server that never answers is given up after the time limit`() async throws {
        let server = try SilentServer()
        let started = ContinuousClock.now
        let error = await failure("host=127.0.0.1 port=\(server.port) user=app", within: .seconds(1))
        #expect(error?.code == .timedOut)
        #expect(error?.message.contains("port \(server.port)") == true)
        #expect(ContinuousClock.now - started >= .seconds(1))
    }

    @Test func `a silent host does not eat the time of those behind it`() async throws {
        let server = try SilentServer()
        // Its share is two seconds, and the others have all of the rest.
        let others = 1...7
        let hosts = """
            host=127.0.0.1\(others.map { _ in ",127.0.0.1" }.joined()) \
            port=\(server.port)\(others.map { _ in ",1" }.joined()) user=app
            """
        let error = await failure(hosts, within: .seconds(16))
        // The others were tried: they refused.
        #expect(error?.message.contains("Connection refused") == true)
        #expect(error?.message.contains("port \(server.port): no answer") == true)
    }

    @Test func `cancelling ends connecting at once`() async throws {
        let server = try SilentServer()
        let configuration = PostgresConfiguration(
            connectionString: "host=127.0.0.1 port=\(server.port) user=app",
            connectTimeLimit: .seconds(600)
        )
        for _ in 0..<20 {
            let task = Task { [logger] in
                _ = try await PostgresConnection.connect(configuration, logger: logger)
            }
            task.cancel()
            let error = await #expect(throws: PostgresError.self) { try await task.value }
            #expect(error?.code == .cancelled)
        }
    }
}
