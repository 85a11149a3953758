import NIOConcurrencyHelpers
import Surroundings

/// Puts the keys of many callers into few loads, and limits how many of these are under way.
final class LoadQueue<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    typealias Loaded = LoadedValues<Key, Value>

    private struct State {
        var machine: LoadQueueStateMachine<Key>
        var waiting: [Int: CheckedContinuation<Loaded, any Error>] = [:]
        /// Callers that were cancelled before they waited.
        var cancelled: Set<Int> = []
        var tasks: [Int: Task<Void, Never>] = [:]
        var nextCaller = 0
    }

    private let window: Duration
    private let surroundings: Surroundings
    private let loader: @Sendable ([Key]) async throws -> Loaded
    private let state: NIOLockedValueBox<State>

    init(
        limits: LoadLimits,
        surroundings: Surroundings = .system,
        loader: @escaping @Sendable ([Key]) async throws -> Loaded
    ) {
        window = limits.window
        self.surroundings = surroundings
        self.loader = loader
        state = NIOLockedValueBox(State(machine: LoadQueueStateMachine(limits: limits)))
    }

    /// What a load returned that began after this call: of all `keys`, and perhaps of others.
    ///
    /// - Throws: What the loader throws; `CancellationError` where the caller is cancelled.
    func values(of keys: [Key]) async throws -> Loaded {
        let caller = state.withLockedValue { state in
            state.nextCaller += 1
            return state.nextCaller
        }
        // Of a cancellation that came too late.
        defer { state.withLockedValue { _ = $0.cancelled.remove(caller) } }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let action = state.withLockedValue { state -> LoadQueueStateMachine<Key>.Action? in
                    if state.cancelled.remove(caller) != nil { return nil }
                    state.waiting[caller] = continuation
                    return state.machine.arrive(caller, keys: keys)
                }
                if let action { perform(action) } else { continuation.resume(throwing: CancellationError()) }
            }
        } onCancel: {
            cancel(caller)
        }
    }

    private func cancel(_ caller: Int) {
        let (continuation, task) = state.withLockedValue { state in
            guard let continuation = state.waiting.removeValue(forKey: caller) else {
                state.cancelled.insert(caller)
                return (nil as CheckedContinuation<Loaded, any Error>?, nil as Task<Void, Never>?)
            }
            guard case .cancel(let batch) = state.machine.leave(caller) else { return (continuation, nil) }
            return (continuation, state.tasks[batch])
        }
        task?.cancel()
        continuation?.resume(throwing: CancellationError())
    }

    private func perform(_ action: LoadQueueStateMachine<Key>.Action) {
        switch action {
        case .wait: return
        case .openWindow:
            surroundings.begin { [self] in
                // It belongs to nobody, so nobody cancels it.
                try? await surroundings.sleep(for: window)
                perform(state.withLockedValue { $0.machine.windowPassed() })
            }
        case .load(let batch):
            let task = surroundings.begin { [self] in
                let result: Result<Loaded, any Error>
                do { result = .success(try await loader(batch.keys)) } catch { result = .failure(error) }
                end(batch.id, with: result)
            }
            let (isAbandoned, next) = state.withLockedValue { state in
                // It may have ended already, and then is not kept.
                if state.machine.isLoading(batch.id) { state.tasks[batch.id] = task }
                return (state.machine.isAbandoned(batch.id), state.machine.more())
            }
            if isAbandoned { task.cancel() }
            perform(next)
        }
    }

    private func end(_ batch: Int, with result: Result<Loaded, any Error>) {
        let (waiting, next) = state.withLockedValue { state in
            state.tasks[batch] = nil
            let (callers, next) = state.machine.ended(batch)
            return (callers.compactMap { state.waiting.removeValue(forKey: $0) }, next)
        }
        for continuation in waiting { continuation.resume(with: result) }
        perform(next)
    }
}
