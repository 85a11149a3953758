// A small HTTP server for a few pages that are read, never written. It is no target: whoever reaches it may ask slowly, send
// anything, or stay connected, and what that costs is bounded.
//
// * ``connectionsAtMost`` connections; one more is closed at once.
// * A request must be there whole within ``requestTimeLimit``, and an answer taken within ``answerTimeLimit``. A connection on which
//   nobody asks is closed after ``idleTimeLimit``.
// * The parser limits the head to 80 KiB. A body is of no use to anybody here: one of more than ``bodyLimit`` is refused.
// * What is asked on one connection is answered in order, one at a time.
//
// A graceful shutdown closes the listener, then every connection as soon as it has its answer, and does not wait longer than
// ``shutdownTimeLimit`` for that.

import Glibc
import NIOConcurrencyHelpers
import NIOCore
import NIOHTTP1
import NIOPosix
import ServiceLifecycle

/// Answers over HTTP until it is shut down.
package struct HTTPServer: Service {
    static let connectionsAtMost = 64
    static let requestTimeLimit = TimeAmount.seconds(10)
    static let answerTimeLimit = TimeAmount.seconds(30)
    static let idleTimeLimit = TimeAmount.seconds(60)
    static let bodyLimit = 65_536
    static let shutdownTimeLimit = Duration.seconds(2)

    private let listener: any Channel
    private let connections: Connections

    /// The address that it listens at: with the port that it was given where any was asked for.
    package let address: HTTPAddress

    /// Why nobody can be answered.
    package struct BindFailure: Error, CustomStringConvertible {
        package var address: HTTPAddress
        package var reason: String

        package var description: String { "\(address): \(reason)" }
    }

    /// Begins to listen; connections are answered from now on.
    ///
    /// - Parameter answer: Is called with whatever is asked.
    /// - Throws: ``BindFailure``.
    static func listen(
        at address: HTTPAddress,
        answer: @escaping @Sendable (HTTPQuestion) async -> HTTPAnswer
    ) async throws(BindFailure) -> HTTPServer {
        let connections = Connections()
        let bootstrap = ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.backlog, value: 64)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                guard connections.add(channel) else { return channel.close() }
                return channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: true)
                    try channel.pipeline.syncOperations.addHandler(HTTPAnswerer(answer: answer))
                }
            }
        do {
            let listener = try await bootstrap.bind(host: address.host, port: address.port).get()
            var bound = address
            if let port = listener.localAddress?.port { bound.port = port }
            return HTTPServer(listener: listener, connections: connections, address: bound)
        } catch let error as IOError {
            throw BindFailure(
                address: address,
                reason: "\(error.errnoCode == EADDRINUSE ? "is in use" : error.reasonText)"
            )
        } catch {
            throw BindFailure(address: address, reason: "is no address of this machine (\(error))")
        }
    }

    private init(listener: any Channel, connections: Connections, address: HTTPAddress) {
        self.listener = listener
        self.connections = connections
        self.address = address
    }

    /// Answers until a graceful shutdown or cancellation.
    package func run() async throws {
        let listener = listener
        do {
            try await withTaskCancellationHandler {
                try await withGracefulShutdownHandler {
                    try await listener.closeFuture.get()
                } onGracefulShutdown: {
                    listener.close(promise: nil)
                }
            } onCancel: {
                listener.close(promise: nil)
            }
        } catch {
            await connections.end()
            throw error
        }
        await connections.end()
    }

    /// Stops listening where it was never run.
    package func close() async {
        listener.close(promise: nil)
        await connections.end()
    }
}

/// Asks a connection to end as soon as it has its answer.
struct LeaveWhenAnswered: Sendable {}

/// The connections that are open.
private final class Connections: Sendable {
    private struct State {
        var open: [ObjectIdentifier: any Channel] = [:]
        var isEnding = false
    }

    private let state = NIOLockedValueBox(State())

    /// - Returns: False where it must not stay.
    func add(_ channel: any Channel) -> Bool {
        let isWelcome = state.withLockedValue { state in
            guard !state.isEnding, state.open.count < HTTPServer.connectionsAtMost else { return false }
            state.open[ObjectIdentifier(channel)] = channel
            return true
        }
        guard isWelcome else { return false }
        channel.closeFuture.whenComplete { [self] _ in
            state.withLockedValue { $0.open[ObjectIdentifier(channel)] = nil }
        }
        return true
    }

    /// Ends them all, soon.
    func end() async {
        let open = state.withLockedValue { state in
            state.isEnding = true
            return Array(state.open.values)
        }
        for channel in open { channel.pipeline.fireUserInboundEventTriggered(LeaveWhenAnswered()) }
        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                // A connection that fails has ended, too.
                for channel in open { _ = try? await channel.closeFuture.get() }
            }
            tasks.addTask {
                // Cut short when all have ended before.
                try? await Task.sleep(for: HTTPServer.shutdownTimeLimit)
                for channel in open { channel.close(promise: nil) }
            }
            await tasks.next()
            tasks.cancelAll()
        }
    }
}

extension IOError {
    fileprivate var reasonText: String { String(cString: strerror(errnoCode)) }
}
