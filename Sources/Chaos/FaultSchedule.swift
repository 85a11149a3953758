// What is done when, as a function of the seed. There are five lanes, so that faults of different parts overlap, and those of one
// part do not: what one fault undoes, another must not have done. Each lane goes through all its faults in random order before
// it comes back to one; only how the old primary of Postgres ends, and how far a clock is set, is chosen anew each time. At the
// beginning both workers are away for longer than degraded entries may be served. A fault that takes longer than planned (a base
// backup, on a busy machine) delays those of its lane.
//
// Clocks of clients are set forward and back to what they were, never behind the machine's: see SteppableClock.swift.

import History
import Surroundings

/// A fault, its time since the start, and how long it lasts.
struct PlannedFault: Hashable, Sendable {
    var at: Duration
    var fault: Fault
    var lasts: Duration
}

struct FaultSchedule: Sendable {
    enum Lane: Int, Hashable, Sendable, CaseIterable { case redis, postgres, processes, network, clocks }

    /// By lane, in order; empty where there is nothing to do.
    let lanes: [Lane: [PlannedFault]]

    /// - Parameters:
    ///   - seconds: When faults end.
    ///   - degradedAge: How old an entry may be that nobody vouches for.
    ///   - setsClocks: Whether clocks can be set.
    init(seed: UInt64, seconds: Int, degradedAge: Duration, setsClocks: Bool) {
        var lanes: [Lane: [PlannedFault]] = [:]
        for lane in Lane.allCases {
            var randomness = SplitMix64(seed: seed &+ UInt64(lane.rawValue) &* 0x1234_5678_9ABC_DEF1)
            let absence = lane == .processes ? degradedAge + .seconds(3) : nil
            lanes[lane] = Self.plan(lane, seconds: seconds, absence: absence, setsClocks: setsClocks, &randomness)
        }
        self.lanes = lanes
    }

    private static func plan(
        _ lane: Lane,
        seconds: Int,
        absence: Duration?,
        setsClocks: Bool,
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
            if deck.isEmpty { deck = Self.deck(lane, setsClocks: setsClocks, &randomness).shuffled(using: &randomness) }
            guard let fault = deck.popLast() else { break }
            // Shorter than the lease, or longer.
            let isLong = randomness.chance(oneIn: 3)
            let lasts = Duration.milliseconds(isLong ? 2_500 + randomness.below(3_500) : 100 + randomness.below(1_500))
            planned.append(PlannedFault(at: at, fault: fault, lasts: lasts))
            at += lasts + .milliseconds(800 + randomness.below(3_000))
        }
        return planned
    }

    /// All faults of a lane.
    static func deck(_ lane: Lane, setsClocks: Bool, _ randomness: inout SplitMix64) -> [Fault] {
        switch lane {
        case .redis:
            let steps: [Fault] = [
                .redisClock(seconds: 1 + randomness.below(20)), .redisClock(seconds: -1 - randomness.below(4)),
            ]
            let faults: [Fault] = [
                .redisKilled, .redisRestored, .redisRestored, .redisSuspended, .redisFlushed, .redisEvicts, .redisFull,
                .redisDiskFull, .redisPromoted, .redisPromoted, .redisDemoted, .redisDemoted,
            ]
            return faults + (setsClocks ? steps : [])
        case .postgres:
            let old = Fault.OldPrimary.allCases.randomElement(using: &randomness) ?? .killed
            let steps: [Fault] = [
                .postgresClock(seconds: 1 + randomness.below(20)), .postgresClock(seconds: -1 - randomness.below(4)),
            ]
            let faults: [Fault] = [
                .postgresKilled, .postgresStopped, .postgresSuspended, .backendKilled, .sessionsTerminated,
                .standbyAway, .standbyPromoted(old: old),
            ]
            return faults + (setsClocks ? steps : [])
        case .processes:
            return Fault.Client.allCases.flatMap { [Fault.killed($0), .suspended($0)] } + [Fault.bothWorkersKilled]
        case .network:
            return Fault.Disruption.allCases.flatMap { disruption in
                Fault.Server.allCases.flatMap { server in
                    Fault.Client.allCases.map { Fault.connections($0, server, disruption) }
                }
            }
        case .clocks:
            guard setsClocks else { return [] }
            return Fault.Client.allCases.map { Fault.clock($0, seconds: 1 + randomness.below(20)) }
        }
    }
}
