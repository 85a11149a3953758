import InvalidationWorker
import Synchronization

/// Holds a worker at a step until the test lets it go, and counts the steps it takes.
final class Gate: Sendable {
    private struct State {
        var held: Set<PumpStep> = []
        var waiting: [PumpStep: [CheckedContinuation<Void, Never>]] = [:]
    }

    private let state = Mutex(State())
    /// How often each step was begun.
    let steps = Arrivals<PumpStep>()
    private let stops = Arrivals<PumpStep>()

    /// What the worker calls before each step.
    func pass(_ step: PumpStep) async {
        steps.arrive(at: step)
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isHeld = state.withLock { state in
                    guard state.held.contains(step), !Task.isCancelled else { return false }
                    state.waiting[step, default: []].append(continuation)
                    stops.arrive(at: step)
                    return true
                }
                if !isHeld { continuation.resume() }
            }
        } onCancel: {
            open(step)
        }
    }

    /// Holds whoever comes to `step` from now on.
    func hold(_ step: PumpStep) {
        state.withLock { _ = $0.held.insert(step) }
    }

    /// Waits until the worker is held at `step`.
    func stopped(at step: PumpStep) async throws {
        let count = state.withLock { state in
            state.waiting[step]?.isEmpty == false ? nil : stops.count(of: step)
        }
        if let count { try await stops.wait(for: step, count: count + 1) }
    }

    /// Lets go whoever is held at `step`, and holds nobody there any more.
    func open(_ step: PumpStep) {
        let waiting = state.withLock { state in
            state.held.remove(step)
            return state.waiting.removeValue(forKey: step) ?? []
        }
        for continuation in waiting { continuation.resume() }
    }
}
