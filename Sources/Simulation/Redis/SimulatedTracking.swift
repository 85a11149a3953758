import Freshet
import Redis

/// A pair of connections to the simulated Redis, one that reads and one that is told of changes.
///
/// `@unchecked Sendable` because it is used on the one thread that runs the simulation.
final class SimulatedTracking: TrackingSession, @unchecked Sendable {
    private let world: World
    private let process: SimulatedProcess
    let server: RedisServer
    private let report: @Sendable (TrackedConnection.Event) -> Void
    private var isLost = false
    /// Whether both ends take it for sound.
    var isOpen: Bool { !isLost && !isCut && server.isUp }
    /// Neither end hears of the other.
    private var isCut = false
    /// What the server tells of changes does not arrive, while the other connection goes on.
    private var isDeaf = false
    private var lastArrival: Int64 = 0
    private var lastReply: Int64 = 0
    private var lastPush: Int64 = 0
    private var calls: [() -> Void] = []

    private init(
        _ world: World,
        _ process: SimulatedProcess,
        _ server: RedisServer,
        _ report: @escaping @Sendable (TrackedConnection.Event) -> Void
    ) {
        self.world = world
        self.process = process
        self.server = server
        self.report = report
    }

    static func open(
        _ world: World,
        _ process: SimulatedProcess,
        _ report: @escaping @Sendable (TrackedConnection.Event) -> Void
    ) async throws -> SimulatedTracking {
        let opened: SimulatedTracking? = await process.wait(cancelled: nil) { waiter in
            world.scheduler.after(world.latency()) {
                guard let server = world.reachableRedis else { return waiter.resume(nil) }
                let tracking = SimulatedTracking(world, process, server, report)
                server.add(tracking)
                world.trackings.append(tracking)
                world.scheduler.after(world.latency()) {
                    process.perform { waiter.resume(tracking) }
                }
            }
        }
        guard let opened else { throw RedisError(.cannotConnect, "nobody there") }
        return opened
    }

    func send(_ batches: [RedisBatch]) async throws(RedisError) -> [[RedisReply]] {
        let replies: [[RedisReply]]? = await process.wait(cancelled: nil) { waiter in
            guard !isLost else { return waiter.resume(nil) }
            calls.append { waiter.resume(nil) }
            limit(waiter)
            lastArrival = max(lastArrival, world.scheduler.now + world.latency(), server.hangsUntil)
            world.scheduler.at(lastArrival) { [self] in
                guard !isCut, server.isUp else { return }
                let replies = batches.map { execute($0) }
                lastReply = max(lastReply, world.scheduler.now + world.latency() + world.lingering(3_000_000))
                world.scheduler.at(lastReply) { [self] in
                    guard !isCut, server.isUp else { return }
                    process.perform { [self] in
                        if !isLost { waiter.resume(replies) }
                    }
                }
            }
        }
        guard let replies else { throw RedisError(.connectionLost, "the connection was lost") }
        return replies
    }

    private func execute(_ batch: RedisBatch) -> [RedisReply] {
        if batch.isTransaction, let refusal = server.model.transactionRefusal {
            return batch.commands.map { _ in .error(refusal) }
        }
        var isTracking = false
        return batch.commands.map { element in
            let reply = server.execute(element, for: process, isTracking ? self : nil)
            if case .command(let command) = element, command == TrackedConnection.trackWhatFollows {
                isTracking = batch.isTransaction
            }
            return reply
        }
    }

    /// PING on the connection that is told of changes.
    func catchUp() async throws(RedisError) {
        let isAlive = await process.wait(cancelled: false) { waiter in
            guard !isLost else { return waiter.resume(false) }
            calls.append { waiter.resume(false) }
            world.scheduler.limit(waiter, to: World.commandTimeLimit) { [self] in lose(after: 0) }
            world.scheduler.after(world.latency()) { [self] in
                guard !isCut, server.isUp else { return }
                push { waiter.resume(true) }
            }
        }
        guard isAlive else { throw RedisError(.connectionLost, "the connection was lost") }
    }

    func close() async {
        server.remove(self)
        lose(after: 0)
    }

    /// The time limit of a call, which is the end of the pair.
    private func limit(_ waiter: Waiter<[[RedisReply]]?>) {
        world.scheduler.limit(waiter, to: World.commandTimeLimit) { [self] in lose(after: 0) }
    }

    // MARK: What the server tells

    func push(_ event: TrackedConnection.Event) {
        push { [report] in report(event) }
    }

    /// In the order of the server.
    private func push(_ action: @escaping () -> Void) {
        guard !isCut, !isDeaf else { return }
        lastPush = max(lastPush, world.scheduler.now + world.latency())
        world.scheduler.at(lastPush) { [self] in
            guard !isCut, !isDeaf, server.isUp else { return }
            process.perform { [self] in
                if !isLost { action() }
            }
        }
    }

    // MARK: Faults

    /// The connections are gone for the server; the client notices later.
    func cut(clientNotices: Int64) {
        isCut = true
        server.remove(self)
        lose(after: clientNotices)
    }

    /// The connection that tells of changes hangs, and neither end notices before nobody could care any more.
    func deafen() {
        isDeaf = true
        lose(after: 20_000_000_000)
    }

    /// The client learns that the pair is gone.
    func lose(after delay: Int64) {
        world.scheduler.after(delay) { [self] in
            process.perform { [self] in
                guard !isLost else { return }
                isLost = true
                report(.lost(RedisError(.connectionLost, "the connection was lost")))
                let calls = calls
                self.calls = []
                for call in calls { call() }
            }
        }
    }
}
