// Time, chance, and tasks that belong to nobody: all that a program takes from its machine beside its connections.
//
// Everywhere this is the system's own, and costs a comparison. A simulation gives every process that it stands for another
// one: then time passes as the simulation lets it, chance follows from a seed, and every job of every task runs when the
// simulation says. Structured tasks inherit their executor; those that are not structured are begun here.

/// What code takes from the machine that it runs on.
package struct Surroundings: Sendable {
    /// The system's clock, the system's randomness, and tasks like any others.
    package static let system = Surroundings(simulated: nil)

    private let simulated: (any SimulatedSurroundings)?

    /// Those of a process that is simulated.
    package init(_ simulated: any SimulatedSurroundings) {
        self.init(simulated: simulated)
    }

    private init(simulated: (any SimulatedSurroundings)?) {
        self.simulated = simulated
    }

    // MARK: Time

    /// Now.
    package var now: ContinuousClock.Instant { simulated?.now ?? .now }

    /// Now, in nanoseconds, where it is not the system's; nil where it is.
    package var simulatedNanoseconds: Int64? { simulated?.nanoseconds }

    /// Waits until a moment.
    ///
    /// - Throws: `CancellationError`.
    package func sleep(until deadline: ContinuousClock.Instant) async throws {
        guard let simulated else { return try await Task.sleep(until: deadline, clock: .continuous) }
        try await simulated.sleep(until: deadline)
    }

    /// Waits for a while.
    ///
    /// - Throws: `CancellationError`.
    package func sleep(for duration: Duration) async throws {
        guard let simulated else { return try await Task.sleep(for: duration) }
        try await simulated.sleep(until: simulated.now + duration)
    }

    // MARK: Tasks

    /// Begins a task that nobody waits for.
    @discardableResult
    package func begin(_ body: @escaping @Sendable () async -> Void) -> Task<Void, Never> {
        guard let simulated else { return Task { await body() } }
        return Task(executorPreference: simulated.taskExecutor) { await body() }
    }
}

// MARK: Chance

extension Surroundings: RandomNumberGenerator {
    /// 64 random bits.
    package func next() -> UInt64 {
        if let simulated { return simulated.random() }
        var generator = SystemRandomNumberGenerator()
        return generator.next()
    }
}

/// The surroundings of a process that exists in a simulation only.
package protocol SimulatedSurroundings: AnyObject, Sendable {
    /// Now, on a clock that nobody sets.
    var now: ContinuousClock.Instant { get }
    /// The same in nanoseconds, from some beginning.
    var nanoseconds: Int64 { get }
    /// Where every job of the process runs.
    var taskExecutor: any TaskExecutor { get }

    /// Waits until a moment, or throws `CancellationError`.
    func sleep(until deadline: ContinuousClock.Instant) async throws
    /// 64 bits out of the seed.
    func random() -> UInt64
}
