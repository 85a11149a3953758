import Keyspace
import Redis
import Surroundings

/// A Redis server among its clients: its clock, the files and replicas of its dataset, who is told of changes.
///
/// `@unchecked Sendable` because it is used on the one thread that runs the simulation.
final class RedisServer: @unchecked Sendable {
    let number: Int
    let model: RedisModel
    private let world: World
    var isUp = true
    /// How often it was started.
    private(set) var starts = 0
    /// How far its clock is ahead of the simulation's, in microseconds.
    private(set) var clockOffset: Int64
    /// Since which moments it has been how far ahead.
    private(set) var clock: [(since: Int64, offset: Int64)]
    /// When nobody could read its clock any more.
    var clockEnd = Int64.max
    /// What a replica has.
    private(set) var replicated = RedisDataset()
    /// What is in the file.
    private(set) var saved = RedisDataset()
    /// Nothing is executed before.
    var hangsUntil: Int64 = 0
    /// Which keys have to be told to whom.
    private var tracked: [String: [SimulatedTracking]] = [:]
    private var everybody: [SimulatedTracking] = []

    init(_ world: World, number: Int, clockOffset: Int64) {
        self.world = world
        self.number = number
        self.clockOffset = clockOffset
        clock = [(world.scheduler.now, clockOffset)]
        model = RedisModel(flaws: world.plan.flaws) { 0 }
        model.time = { [unowned self] in time }
        model.changed = { [unowned self] in tell($0) }
    }

    /// The time by its clock, in microseconds.
    var time: Int64 { World.epoch + world.scheduler.now / 1_000 + clockOffset }

    func stepClock(by microseconds: Int64) {
        clockOffset += microseconds
        clock.append((world.scheduler.now, clockOffset))
        if microseconds < 0 { world.checker.clockWasSteppedBack(by: -microseconds) }
    }

    /// The earliest moment at which its clock can have said a time, in nanoseconds of the simulation; nil where there is none.
    func earliestMoment(at time: Int64) -> Int64? {
        for (place, stretch) in clock.enumerated() {
            let moment = (time - World.epoch - stretch.offset) * 1_000
            let end = place + 1 < clock.count ? clock[place + 1].since : clockEnd
            // Microseconds are rounded down.
            if moment + 999 >= stretch.since, moment <= end { return moment }
        }
        return nil
    }

    // MARK: Executing

    /// Executes one element for a process.
    func execute(
        _ element: RedisBatch.Element,
        for process: SimulatedProcess,
        _ tracking: SimulatedTracking? = nil
    )
        -> RedisReply
    {
        let reply: RedisReply
        if let tracking {
            reply = model.execute(element) { key in self.track(key, for: tracking) }
        } else {
            reply = model.execute(element)
        }
        if case .script(let script, let keys, let arguments) = element {
            world.checker.ran(script.name, keys, arguments, reply, on: self)
            copy()
        }
        world.trace {
            "redis \(self.number) runs \(Trace.describe(element)) for \(process.name): \(Trace.describe(reply))"
        }
        return reply
    }

    /// The replica and the file take over what is there now, or not yet.
    func copy() {
        let (lag, stall) = (world.plan.replicaLag, world.plan.replicaStall)
        if world.scheduler.random.chance(oneIn: stall), !world.scheduler.random.chance(oneIn: lag) {
            replicated = model.dataset
        }
        if world.scheduler.random.chance(oneIn: 16) { saved = model.dataset }
    }

    // MARK: Telling

    private func track(_ key: String, for tracking: SimulatedTracking) {
        if tracked[key]?.contains(where: { $0 === tracking }) != true { tracked[key, default: []].append(tracking) }
    }

    func add(_ tracking: SimulatedTracking) { everybody.append(tracking) }

    func remove(_ tracking: SimulatedTracking) {
        everybody.removeAll { $0 === tracking }
        for key in tracked.keys { tracked[key]?.removeAll { $0 === tracking } }
    }

    private func tell(_ key: String?) {
        guard !everybody.isEmpty else { return }
        guard let key else {
            tracked = [:]
            for tracking in everybody { tracking.push(.invalidatedEverything) }
            return
        }
        guard let listeners = tracked.removeValue(forKey: key) else { return }
        for tracking in listeners { tracking.push(.invalidated(key: Array(key.utf8))) }
    }

    // MARK: Faults

    /// It is gone; whoever it had to tell of changes hears nothing more.
    func stop() {
        isUp = false
        starts += 1
        tracked = [:]
        everybody = []
        for connection in world.redisConnections where connection.server === self { connection.lose() }
        for tracking in world.trackings where tracking.server === self { tracking.lose(after: world.latency()) }
    }
}
