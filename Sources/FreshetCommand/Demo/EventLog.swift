import InvalidationWorker
import Synchronization

/// What the worker has told, for those who wait for it.
final class EventLog: Sendable {
    /// An event, and when the generations that led to it had risen.
    struct Entry: Sendable {
        var event: WorkerEvent
        /// When Redis had answered the last pass before this event: no later than that its generations had risen.
        var appliedAt: ContinuousClock.Instant?
    }

    /// What was waited for did not come.
    struct Overdue: Error, CustomStringConvertible {
        let what: String
        let limit: Duration

        var description: String { "waited \(limit.spoken) for \(what)" }
    }

    private struct Waiter {
        let isAnswer: @Sendable (Entry) -> Bool
        let continuation: CheckedContinuation<Int, any Error>
    }

    private struct State {
        /// The newest entries; nobody waits for what is long past.
        var entries: [Entry] = []
        /// The place of the first of them.
        var base = 0
        var waiters: [Int: Waiter] = [:]
        var lastTicket = 0
    }

    private let state = Mutex(State())

    /// The place behind the last event so far.
    var end: Int { state.withLock { $0.base + $0.entries.count } }

    func append(_ entry: Entry) {
        let (index, answered) = state.withLock { state in
            if state.entries.count == Self.capacity {
                state.entries.removeFirst(Self.capacity / 2)
                state.base += Self.capacity / 2
            }
            state.entries.append(entry)
            let tickets = state.waiters.filter { $0.value.isAnswer(entry) }.keys
            return (state.base + state.entries.count - 1, tickets.compactMap { state.waiters.removeValue(forKey: $0) })
        }
        for waiter in answered { waiter.continuation.resume(returning: index) }
    }

    /// The events from a place on.
    func entries(from place: Int) -> [Entry] {
        state.withLock { Array($0.entries.dropFirst(place - $0.base)) }
    }

    private static let capacity = 4_096

    /// Waits for the first event at or behind a place that answers.
    ///
    /// - Returns: The event, and the place behind it.
    /// - Throws: ``Overdue`` after the limit; `CancellationError`.
    func first(
        from place: Int,
        _ what: String,
        within limit: Duration = .seconds(20),
        where isAnswer: @escaping @Sendable (Entry) -> Bool
    ) async throws -> (Entry, next: Int) {
        let place = try await withThrowingTaskGroup(of: Int.self) { tasks in
            tasks.addTask { try await self.index(from: place, where: isAnswer) }
            tasks.addTask {
                try await Task.sleep(for: limit)
                throw Overdue(what: what, limit: limit)
            }
            defer { tasks.cancelAll() }
            guard let index = try await tasks.next() else { throw CancellationError() }
            return index
        }
        return (state.withLock { $0.entries[place - $0.base] }, place + 1)
    }

    private func index(from place: Int, where isAnswer: @escaping @Sendable (Entry) -> Bool) async throws -> Int {
        let ticket = state.withLock { state in
            state.lastTicket += 1
            return state.lastTicket
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let known: Result<Int, any Error>? = state.withLock { state in
                    let index = state.entries.indices.first { state.base + $0 >= place && isAnswer(state.entries[$0]) }
                    if let index { return .success(state.base + index) }
                    // Under the lock: a cancellation either is seen here or finds the waiter.
                    if Task.isCancelled { return .failure(CancellationError()) }
                    state.waiters[ticket] = Waiter(isAnswer: isAnswer, continuation: continuation)
                    return nil
                }
                if let known { continuation.resume(with: known) }
            }
        } onCancel: {
            let waiter = state.withLock { $0.waiters.removeValue(forKey: ticket) }
            waiter?.continuation.resume(throwing: CancellationError())
        }
    }
}
