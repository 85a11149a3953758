// What is done when, as a function of the seed. There are four lanes, so that faults of different parts overlap, and those of one
// part do not: what one fault undoes, another must not have done. Each lane goes through all its faults in random order before
// it comes back to one. At the beginning both workers are away for longer than degraded entries may be served. A fault that takes
// longer than planned (a base backup, on a busy machine) delays those of its lane.

import History
import Surroundings

/// A fault, its time since the start, and how long it lasts.
struct PlannedFault: Hashable, Sendable {
    var at: Duration
    var fault: Fault
    var lasts: Duration
}

struct FaultSchedule: Sendable {
    enum Lane: Int, Hashable, Sendable, CaseIterable { case redis, postgres, processes, network }

    /// By lane, in order.
    let lanes: [Lane: [PlannedFault]]

    /// - Parameters:
    ///   - seconds: When faults end.
    ///   - degradedAge: How old an entry may be that nobody vouches for.
    ///   - setsClock: Whether the clock of Redis can be set.
    init(seed: UInt64, seconds: Int, degradedAge: Duration, setsClock: Bool) {
        var lanes: [Lane: [PlannedFault]] = [:]
        for lane in Lane.allCases {
            var randomness = SplitMix64(seed: seed &+ UInt64(lane.rawValue) &* 0x1234_5678_9ABC_DEF1)
            let absence = lane == .processes ? degradedAge + .seconds(3) : nil
            lanes[lane] = Self.plan(lane, seconds: seconds, absence: absence, setsClock: setsClock, &randomness)
        }
        self.lanes = lanes
    }

    private static func plan(
        _ lane: Lane,
        seconds: Int,
        absence: Duration?,
        setsClock: Bool,
        _ randomness: inout SplitMix64
    ) -> [PlannedFault] {
        var planned: [PlannedFault] = []
        var deck: [Fault] = []
        var at = Duration.milliseconds(1_500 + randomness.below(2_000))
        if let absence {
            planned.append(PlannedFault(at: at, fault: .bothWorkersKilled, lasts: absence))
            at += absence + .seconds(1)
        }
        while at < .seconds(seconds) {
            if deck.isEmpty { deck = Self.deck(lane, setsClock: setsClock, &randomness).shuffled(using: &randomness) }
            let fault = deck.removeLast()
            // Shorter than the lease, or longer.
            let isLong = randomness.chance(oneIn: 3)
            let lasts = Duration.milliseconds(isLong ? 2_500 + randomness.below(3_500) : 100 + randomness.below(1_500))
            planned.append(PlannedFault(at: at, fault: fault, lasts: lasts))
            at += lasts + .milliseconds(800 + randomness.below(3_000))
        }
        return planned
    }

    private static func deck(_ lane: Lane, setsClock: Bool, _ randomness: inout SplitMix64) -> [Fault] {
        switch lane {
        case .redis:
            let steps: [Fault] = [
                .redisClock(seconds: 1 + randomness.below(20)), .redisClock(seconds: -1 - randomness.below(4)),
            ]
            let faults: [Fault] = [
                .redisKilled, .redisRestored, .redisRestored, .redisSuspended, .redisFlushed, .redisEvicts, .redisFull,
                .redisDiskFull, .redisPromoted, .redisPromoted, .redisDemoted, .redisDemoted,
            ]
            return faults + (setsClock ? steps : [])
        case .postgres:
            let old = Fault.OldPrimary.allCases.randomElement(using: &randomness) ?? .killed
            return [
                .postgresKilled, .postgresStopped, .postgresSuspended, .backendKilled, .sessionsTerminated,
                .standbyAway, .standbyPromoted(old: old),
            ]
        case .processes:
            let workers = Fault.Client.workers.shuffled(using: &randomness)
            let readers = Fault.Client.readers.shuffled(using: &randomness)
            return [
                .killed(workers[0]), .suspended(workers[0]), .suspended(workers[1]), .bothWorkersKilled,
                .killed(readers[0]), .suspended(readers[1]), .suspended(.readerNear),
                randomness.chance(oneIn: 2) ? .killed(.writer) : .suspended(.writer),
            ]
        case .network:
            return Fault.Disruption.allCases.flatMap { disruption in
                Fault.Server.allCases.flatMap { server in
                    (0..<2).map { _ in
                        .connections(
                            Fault.Client.allCases.randomElement(using: &randomness) ?? .worker1,
                            server,
                            disruption
                        )
                    }
                }
            }
        }
    }
}
