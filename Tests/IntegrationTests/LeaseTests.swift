import Foundation
import Freshet
import InvalidationWorker
import Keyspace
import LocalServices
import Redis
import Subprocess
import Testing

/// A leader that stands still for longer than its lease: readers notice by themselves, and its return promises nothing wrong.
@Suite struct LeaseTests {
    private static let limits = KeyspaceLimits(lease: .milliseconds(700))
    private static let options = CacheOptions(degradedAge: .milliseconds(700))
    private static let change = "UPDATE workflow_engine_workflow SET enabled = false WHERE id = 11"

    /// Detector 1 with workflow 10, global, and 11, in environment 5; cached.
    private func scenario(_ body: @Sendable (Scenario, RunningWorker) async throws -> Void) async throws {
        try await Scenario.run(limits: Self.limits, options: Self.options) { scenario in
            try await scenario.insert(detectors: [1], workflows: [(10, nil), (11, 5)])
            let worker = try await scenario.startWorker()
            try await worker.catchUp()
            _ = try await eventually("a hit") {
                try await scenario.read(1, .environment(5)).environment == .hit ? true : nil
            }
            try await body(scenario, worker)
        }
    }

    @Test func `a promise that is made late is about the moment before the claim`() async throws {
        try await scenario { scenario, worker in
            // The claim of this pass has not seen the change, so this pass must not vouch for it.
            worker.gate.hold(.applying)
            try await worker.gate.stopped(at: .applying)
            try await scenario.execute(Self.change)
            try await scenario.redisTimePasses(Self.limits.lease)
            #expect(try await scenario.trust() == .degraded)
            worker.gate.hold(.waiting)
            worker.gate.open(.applying)
            try await worker.gate.stopped(at: .waiting)
            #expect(try await scenario.trust() == .degraded)
            worker.gate.open(.waiting)
            try await scenario.reach(.healthy)
            #expect(try await scenario.read(1, .environment(5)).ids == [10])
        }
    }

    @Test func `a promise is about the moment before the snapshot of the claim`() async throws {
        try await scenario { scenario, worker in
            // The time has been read and the claim has not begun: it sees the change, but vouches for the earlier time.
            worker.gate.hold(.claiming)
            try await worker.gate.stopped(at: .claiming)
            try await scenario.redisTimePasses(Self.limits.lease)
            #expect(try await scenario.trust() == .degraded)
            try await scenario.execute(Self.change)
            worker.gate.hold(.waiting)
            worker.gate.open(.claiming)
            try await worker.gate.stopped(at: .waiting)
            #expect(try await scenario.trust() == .degraded)
            #expect(try await scenario.read(1, .environment(5)).ids == [10])
            worker.gate.open(.waiting)
            try await scenario.reach(.healthy)
        }
    }

    @Test func `a leader that was deposed while it stood still changes nothing`() async throws {
        try await scenario { scenario, worker in
            // It has claimed nothing and wants to renew its promise; by then another leads and has consumed a change.
            worker.gate.hold(.applying)
            try await worker.gate.stopped(at: .applying)
            try await scenario.execute(
                """
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE usename = '\(Servers.Roles.worker)' AND datname = current_database()
                """
            )
            try await scenario.execute(Self.change)
            let successor = try await scenario.startWorker()
            try await successor.catchUp()
            let gate = successor.gate
            gate.hold(.observing)
            try await gate.stopped(at: .observing)
            let head = try await scenario.command("HGETALL", .string(scenario.headKey))
            worker.gate.open(.applying)
            try await worker.events.wait(for: .standingBy, count: 1)
            #expect(try await scenario.command("HGETALL", .string(scenario.headKey)) == head)
            gate.open(.observing)
            try await scenario.reach(.healthy)
            #expect(try await scenario.read(1, .environment(5)).ids == [10])
            #expect(successor.reports.allSatisfy { $0.resetBuckets.isEmpty })
        }
    }

    @Test
    func `a worker process that is stopped is not trusted, and vouches for what it missed only after applying it`()
        async throws
    {
        let lease = Duration.seconds(1)
        try await Scenario.run(limits: KeyspaceLimits(lease: lease), options: CacheOptions(degradedAge: lease)) {
            scenario in
            try await scenario.insert(detectors: [1], workflows: [(10, nil), (11, 5)])
            try await PausableWorker.run(for: scenario, leaseSeconds: 1) { process in
                try await scenario.reach(.healthy)
                _ = try await eventually("a hit") {
                    try await scenario.read(1, .environment(5)).environment == .hit ? true : nil
                }
                for round in 1...3 {
                    try process.send(SIGSTOP)
                    try await scenario.execute(
                        "UPDATE workflow_engine_workflow SET enabled = \(round.isMultiple(of: 2)) WHERE id = 11"
                    )
                    let changed = ContinuousClock.now
                    let expected: [Int64] = round.isMultiple(of: 2) ? [10, 11] : [10]
                    // Until the lease is out the old answer may come; afterwards, while degraded, for its age.
                    _ = try await eventually("readers to see degraded") {
                        let began = ContinuousClock.now
                        let found = try await scenario.read(1, .environment(5))
                        if found.trust == .healthy, found.ids != expected {
                            #expect(changed.duration(to: began) < lease)
                        }
                        return found.trust == .degraded ? true : nil
                    }
                    _ = try await eventually("the old entry to be too old") {
                        try await scenario.read(1, .environment(5)).ids == expected ? true : nil
                    }
                    try process.send(SIGCONT)
                    // From the first healthy answer on, the change is there.
                    let first = try await eventually("readers to see healthy") {
                        let found = try await scenario.read(1, .environment(5))
                        #expect(found.ids == expected)
                        return found.trust == .healthy ? found.ids : nil
                    }
                    #expect(first == expected)
                }
            }
        }
    }
}

/// The built `freshet run`, as a process of its own.
struct PausableWorker: Sendable {
    let processIdentifier: Int32

    /// Runs `body` beside a worker of the scenario, and ends the worker.
    static func run(
        for scenario: Scenario,
        leaseSeconds: Double,
        _ body: @escaping @Sendable (PausableWorker) async throws -> Void
    ) async throws {
        let executable = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent().appending(path: "freshet")
        let result = try await Subprocess.run(
            // Names are looked up in PATH; env takes a path, and becomes the program.
            .name("env"),
            arguments: [
                executable.path(), "run", "--prefix", scenario.namespace.prefix, "--lease-seconds", "\(leaseSeconds)",
            ],
            environment: .inherit.updating([
                "FRESHET_POSTGRES": scenario.servers.postgres.connectionString(
                    database: scenario.database,
                    user: Servers.Roles.worker
                ),
                "FRESHET_REDIS": scenario.servers.redis.url,
            ]),
            input: .none,
            output: .discarded,
            error: .discarded
        ) { execution in
            let process = PausableWorker(processIdentifier: execution.processIdentifier.value)
            do {
                try await body(process)
            } catch {
                try process.send(SIGCONT)
                try process.send(SIGTERM)
                throw error
            }
            try process.send(SIGTERM)
        }
        guard case .exited(0) = result.terminationStatus else {
            throw ProgramFailure(
                program: "freshet run",
                status: result.terminationStatus,
                standardOutput: "",
                standardError: ""
            )
        }
    }

    func send(_ signal: Int32) throws {
        guard kill(processIdentifier, signal) == 0 else { throw POSIXError(POSIXError.Code(rawValue: errno) ?? .ESRCH) }
    }
}
