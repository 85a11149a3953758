// Concurrent loads of one key share one load.
//
// A load belongs to nobody's task: it goes on as long as anybody waits for it, whoever began it, and is cancelled with its
// last waiter. A key stands for a value *and* the generations it was asked for under; two callers that read different
// generations never share, because a load that began before a bump must not answer who came after it.

import NIOConcurrencyHelpers
import Surroundings

/// Shares loads among the callers of one process.
final class SingleFlight<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private let flights = NIOLockedValueBox<[Key: Flight]>([:])
    private let surroundings: Surroundings

    init(surroundings: Surroundings = .system) {
        self.surroundings = surroundings
    }

    /// The values of `keys`: those that are being loaded already are waited for, the others are loaded by one call of `load`.
    ///
    /// - Parameter joined: Is told how many keys were being loaded already.
    /// - Throws: What `load` throws; `CancellationError` where this caller is cancelled, whatever becomes of the load.
    func values(
        of keys: [Key],
        joined: (Int) -> Void,
        load: @escaping @Sendable ([Key]) async throws -> [Key: Value]
    ) async throws -> [Key: Value] {
        let (awaited, own, ownKeys) = flights.withLockedValue { flights in
            // In the order of the keys: an order by identity would be another in every process.
            var awaited: [Flight] = []
            var boarded: Set<ObjectIdentifier> = []
            let own = Flight()
            var ownKeys: [Key] = []
            for key in keys {
                if let flight = flights[key], boarded.contains(ObjectIdentifier(flight)) {
                    continue
                } else if let flight = flights[key], flight.board() {
                    boarded.insert(ObjectIdentifier(flight))
                    awaited.append(flight)
                } else {
                    flights[key] = own
                    ownKeys.append(key)
                }
            }
            // Before anybody else can see it: else the first to join and leave again would take it for abandoned.
            if !ownKeys.isEmpty { _ = own.board() }
            return (awaited, own, ownKeys)
        }
        joined(keys.count - ownKeys.count)

        var all = awaited
        if !ownKeys.isEmpty {
            all.append(own)
            own.begin(in: surroundings) { [self] in
                let result: Result<[Key: Value], any Error>
                do { result = .success(try await load(ownKeys)) } catch { result = .failure(error) }
                flights.withLockedValue { flights in
                    for key in ownKeys where flights[key] === own { flights[key] = nil }
                }
                own.land(with: result)
            }
        }

        var values: [Key: Value] = [:]
        for (index, flight) in all.enumerated() {
            do {
                values.merge(try await flight.values()) { first, _ in first }
            } catch {
                for rest in all[(index + 1)...] { rest.leave() }
                throw error
            }
        }
        return values
    }

    /// Whether a load of this key is under way that somebody waits for.
    func isUnderWay(_ key: Key) -> Bool {
        flights.withLockedValue { $0[key] }?.isAbandoned == false
    }

    /// One load, and who waits for it.
    private final class Flight: Sendable {
        private struct State {
            var result: Result<[Key: Value], any Error>?
            var passengers = 0
            var waiting: [Int: CheckedContinuation<[Key: Value], any Error>] = [:]
            var nextTicket = 0
            var task: Task<Void, Never>?
            var isAbandoned = false
        }

        private let state = NIOLockedValueBox(State())

        var isAbandoned: Bool { state.withLockedValue { $0.isAbandoned } }

        /// Counts one more caller; false where the load was given up already.
        func board() -> Bool {
            state.withLockedValue { state in
                if state.isAbandoned { return false }
                state.passengers += 1
                return true
            }
        }

        /// Counts one caller less, and gives the load up with the last.
        func leave() {
            let abandoned = state.withLockedValue { state -> Task<Void, Never>? in
                state.passengers -= 1
                guard state.passengers == 0, state.result == nil else { return nil }
                state.isAbandoned = true
                return state.task
            }
            abandoned?.cancel()
        }

        func begin(in surroundings: Surroundings, _ body: @escaping @Sendable () async -> Void) {
            let task = surroundings.begin(body)
            let isAbandoned = state.withLockedValue { state in
                state.task = task
                return state.isAbandoned
            }
            if isAbandoned { task.cancel() }
        }

        func land(with result: Result<[Key: Value], any Error>) {
            let waiting = state.withLockedValue { state in
                state.result = result
                state.task = nil
                defer { state.waiting = [:] }
                return state.waiting.values
            }
            for continuation in waiting { continuation.resume(with: result) }
        }

        /// Waits for the load; the caller has boarded, and has left when this returns.
        func values() async throws -> [Key: Value] {
            let ticket = state.withLockedValue { state in
                state.nextTicket += 1
                return state.nextTicket
            }
            defer { leave() }
            return try await withTaskCancellationHandler {
                try await withCheckedThrowingContinuation { continuation in
                    let result = state.withLockedValue { state -> Result<[Key: Value], any Error>? in
                        if let result = state.result { return result }
                        if Task.isCancelled { return .failure(CancellationError()) }
                        state.waiting[ticket] = continuation
                        return nil
                    }
                    if let result { continuation.resume(with: result) }
                }
            } onCancel: {
                let continuation = state.withLockedValue { $0.waiting.removeValue(forKey: ticket) }
                continuation?.resume(throwing: CancellationError())
            }
        }
    }
}
