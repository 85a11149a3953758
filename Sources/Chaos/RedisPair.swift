import History
import LocalServices

/// A Redis and its replica, and what can be done to them.
///
/// One task at a time makes faults.
actor RedisPair {
    private var primary: LocalRedis
    private var replica: LocalRedis
    private let destination: Destination
    private let clock: SteppableClock?
    private var aheadBySeconds = 0
    private var snapshot: String
    /// The steps of the clock so far.
    private(set) var steps: [Bounds.ClockStep] = []
    /// How many keys were evicted while memory was short.
    private(set) var evictedKeys = 0
    /// How many commands were refused while memory was full.
    private(set) var refusedCommands = 0

    private static let options = ["maxmemory-samples": "5", "enable-protected-configs": "yes"]

    static func start(to destination: Destination) async throws -> RedisPair {
        let clock = try await SteppableClock.make()
        func server() async throws -> LocalRedis {
            try await LocalRedis.start(
                options: options,
                listensOnTCP: true,
                environment: clock?.environment ?? [:]
            )
        }
        let (primary, replica) = (try await server(), try await server())
        try await replica.replicate(primary)
        destination.socketPath = primary.socketPath
        return RedisPair(
            primary: primary,
            replica: replica,
            destination: destination,
            clock: clock,
            snapshot: try await primary.saveSnapshot()
        )
    }

    private init(
        primary: LocalRedis,
        replica: LocalRedis,
        destination: Destination,
        clock: SteppableClock?,
        snapshot: String
    ) {
        self.primary = primary
        self.replica = replica
        self.destination = destination
        self.clock = clock
        self.snapshot = snapshot
    }

    var setsClock: Bool { clock != nil }

    var url: String { "unix://\(primary.socketPath)" }

    func destroy() async {
        await primary.destroy()
        await replica.destroy()
        clock?.destroy()
    }

    /// Does it, waits, and undoes it.
    func make(_ fault: Fault, lasting duration: Duration, cut: () -> Void) async throws {
        switch fault {
        case .redisKilled:
            try await primary.kill()
            try await Task.sleep(for: duration)
            try await primary.startAgain()
        case .redisRestored:
            let old = snapshot
            snapshot = try await primary.saveSnapshot()
            try await primary.kill()
            try await Task.sleep(for: duration)
            try await primary.startAgain(with: .snapshot(path: old))
        case .redisSuspended:
            try primary.suspend()
            try await Task.sleep(for: duration)
            try primary.resume()
        case .redisFlushed:
            try await primary.command("FLUSHALL")
        case .redisEvicts:
            evictedKeys += try await primary.limitMemory(policy: "allkeys-random", for: duration).evictedKeys
        case .redisFull:
            refusedCommands += try await primary.limitMemory(policy: "noeviction", for: duration).refusedCommands
        case .redisDiskFull:
            try await failSaving(for: duration)
        case .redisPromoted:
            // From now on it misses what is written.
            try await replica.replicate(nil)
            try await Task.sleep(for: duration)
            destination.socketPath = replica.socketPath
            cut()
            (primary, replica) = (replica, primary)
            try await replica.replicate(primary)
        case .redisDemoted:
            try await replica.replicate(nil)
            try await Task.sleep(for: duration)
            // In place: the clients stay connected while the data below them becomes older.
            try await primary.replicate(replica)
            try await primary.replicate(nil)
            try await replica.replicate(primary)
        case .redisClock(let seconds):
            guard let clock else { return }
            let began = Moment.now
            aheadBySeconds += seconds
            try clock.set(aheadBySeconds: aheadBySeconds)
            steps.append(Bounds.ClockStep(began: began, ended: .now, by: .seconds(seconds)))
        default:
            return
        }
        if fault != .redisRestored, fault != .redisKilled, fault != .redisFlushed {
            snapshot = try await primary.saveSnapshot()
        }
    }

    /// Lets every snapshot fail, as on a full disk, until the server refuses writes (MISCONF).
    private func failSaving(for duration: Duration) async throws {
        try await primary.makeSavingFail()
        // It tries a second after the first change.
        try await Task.sleep(for: duration + .seconds(2))
        try await primary.letSavingWork()
    }
}
