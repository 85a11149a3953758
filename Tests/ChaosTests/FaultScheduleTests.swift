import Surroundings
import Testing

@testable import Chaos

/// When what is broken, without anything that could be.
@Suite struct FaultScheduleTests {
    private static func schedule(setsClocks: Bool = true) -> FaultSchedule {
        FaultSchedule(seed: 7, seconds: 1_800, degradedAge: .seconds(6), setsClocks: setsClocks)
    }

    @Test func `the same seed plans the same`() {
        #expect(Self.schedule().lanes == Self.schedule().lanes)
    }

    @Test(arguments: FaultSchedule.Lane.allCases)
    func `each lane goes through all its faults before it comes back to one`(lane: FaultSchedule.Lane) throws {
        let planned = try #require(Self.schedule().lanes[lane])
        // What the run begins with stands outside.
        let kinds = planned.dropFirst(lane == .processes ? 1 : 0).map { Self.withoutChoice($0.fault) }
        var expected: [Fault: Int] = [:]
        for fault in Self.deck(lane) { expected[Self.withoutChoice(fault), default: 0] += 1 }
        let size = expected.values.reduce(0, +)
        #expect(kinds.count > 3 * size)
        for start in stride(from: 0, to: kinds.count - size, by: size) {
            var found: [Fault: Int] = [:]
            for kind in kinds[start..<start + size] { found[kind, default: 0] += 1 }
            #expect(found == expected)
        }
    }

    @Test func `every process is killed, suspended, cut off from both servers, and lives in another time`() {
        let lanes = Self.schedule().lanes
        let faults = Set(lanes.values.joined().map { Self.withoutChoice($0.fault) })
        for client in Fault.Client.allCases {
            #expect(faults.isSuperset(of: [.killed(client), .suspended(client), .clock(client, seconds: 1)]))
            for server in Fault.Server.allCases {
                for disruption in Fault.Disruption.allCases {
                    #expect(faults.contains(.connections(client, server, disruption)))
                }
            }
        }
    }

    @Test func `where clocks cannot be set none is, and all else is done`() {
        let lanes = Self.schedule(setsClocks: false).lanes
        #expect(lanes[.clocks] == [])
        #expect(lanes.values.joined().allSatisfy { !$0.fault.kind.contains("clock") })
        #expect(FaultSchedule.Lane.allCases.filter { $0 != .clocks }.allSatisfy { lanes[$0]?.isEmpty == false })
    }

    private static func deck(_ lane: FaultSchedule.Lane) -> [Fault] {
        var randomness = SplitMix64(seed: 1)
        return FaultSchedule.deck(lane, setsClocks: true, &randomness)
    }

    /// A fault without what is chosen anew each time.
    private static func withoutChoice(_ fault: Fault) -> Fault {
        switch fault {
        case .redisClock(let seconds): .redisClock(seconds: seconds.signum())
        case .postgresClock(let seconds): .postgresClock(seconds: seconds.signum())
        case .clock(let client, _): .clock(client, seconds: 1)
        case .standbyPromoted: .standbyPromoted(old: .killed)
        default: fault
        }
    }
}
