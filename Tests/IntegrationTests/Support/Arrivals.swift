import Synchronization
import Testing

/// Counts things that happen, and lets tests wait for a count: the signal that stands where a sleep would be a guess.
final class Arrivals<Place: Hashable & Sendable>: Sendable {
    private struct Waiter {
        var place: Place
        var count: Int
        var continuation: CheckedContinuation<Void, any Error>
    }

    private struct State {
        var counts: [Place: Int] = [:]
        var waiters: [Int: Waiter] = [:]
        var nextTicket = 0
    }

    private let state = Mutex(State())

    /// How often something happened so far.
    func count(of place: Place) -> Int {
        state.withLock { $0.counts[place] ?? 0 }
    }

    /// Something happened.
    func arrive(at place: Place) {
        let ready = state.withLock { state in
            state.counts[place, default: 0] += 1
            let count = state.counts[place] ?? 0
            let tickets = state.waiters.filter { $0.value.place == place && $0.value.count <= count }.keys
            return tickets.compactMap { state.waiters.removeValue(forKey: $0)?.continuation }
        }
        for continuation in ready { continuation.resume() }
    }

    /// Waits until something has happened `count` times in all.
    func wait(for place: Place, count: Int, within limit: Duration = .seconds(30)) async throws {
        try await withTimeLimit(limit, "\(place) to happen \(count) times") { [self] in
            let ticket = state.withLock { state in
                state.nextTicket += 1
                return state.nextTicket
            }
            try await withTaskCancellationHandler {
                try await withCheckedThrowingContinuation { continuation in
                    let isReady = state.withLock { state in
                        if state.counts[place] ?? 0 >= count { return true }
                        state.waiters[ticket] = Waiter(place: place, count: count, continuation: continuation)
                        return false
                    }
                    if isReady { continuation.resume() }
                    if Task.isCancelled { cancel(ticket) }
                }
            } onCancel: {
                cancel(ticket)
            }
        }
    }

    private func cancel(_ ticket: Int) {
        let waiter = state.withLock { $0.waiters.removeValue(forKey: ticket) }
        waiter?.continuation.resume(throwing: CancellationError())
    }
}

/// What a test waited for did not happen in time.
struct TimeLimitExceeded: Error, CustomStringConvertible {
    var limit: Duration
    var what: String
    /// What the body said when it was cancelled for that.
    var cause: (any Error)?

    var description: String { "waited \(limit) for \(what)" + (cause.map { ": \($0)" } ?? "") }
}

/// Runs `body`, which heeds cancellation, and fails where it takes longer than `limit`: a hang becomes a failure that says what was
/// waited for.
func withTimeLimit<Value: Sendable>(
    _ limit: Duration,
    _ what: String,
    _ body: @escaping @Sendable () async throws -> Value
) async throws -> Value {
    try await withThrowingTaskGroup(of: Value?.self) { group in
        group.addTask { try await body() }
        group.addTask {
            try await Task.sleep(for: limit)
            return nil
        }
        defer { group.cancelAll() }
        if let first = try await group.next(), let value = first { return value }
        group.cancelAll()
        var exceeded = TimeLimitExceeded(limit: limit, what: what)
        if case .failure(let error)? = await group.nextResult(), !(error is CancellationError) {
            exceeded.cause = error
        }
        throw exceeded
    }
}

/// Expects that something takes no longer than a limit at the best of five times: a machine that is busy only ever adds to it.
///
/// Where chance decides, too, as the phase of a poll does, an expectation beside it bounds the interval.
///
/// - Parameter body: Does it once more, and returns how long it took.
func expectWithin(
    _ limit: Duration,
    at location: SourceLocation = #_sourceLocation,
    _ body: () async throws -> Duration
) async throws {
    var times: [Duration] = []
    while times.count < 5, !times.contains(where: { $0 < limit }) { times.append(try await body()) }
    #expect(times.contains { $0 < limit }, "\(times)", sourceLocation: location)
}

/// Asks again and again until the answer satisfies, for what gives no signal: the state of another process.
func eventually<Value: Sendable>(
    _ what: String,
    within limit: Duration = .seconds(30),
    every interval: Duration = .milliseconds(10),
    _ body: @escaping @Sendable () async throws -> Value?
) async throws -> Value {
    try await withTimeLimit(limit, what) {
        while true {
            if let value = try await body() { return value }
            try await Task.sleep(for: interval)
        }
    }
}
