import NIOConcurrencyHelpers
import Surroundings

/// Does something to its end, also where the caller is cancelled meanwhile: for what has an effect that has to be known.
///
/// - Parameters:
///   - surroundings: Where that task runs.
///   - body: What is done, in a task of its own that nobody cancels.
///   - orphaned: Is handed the outcome where the caller has not waited for it.
/// - Throws: What `body` throws; `CancellationError`, at once, where the caller is cancelled.
func carryThrough<Outcome: Sendable>(
    in surroundings: Surroundings,
    _ body: @escaping @Sendable () async throws -> Outcome,
    orphaned: @escaping @Sendable (Outcome) -> Void
) async throws -> Outcome {
    try Task.checkCancellation()
    let handover = Handover<Outcome>()
    surroundings.begin {
        let result: Result<Outcome, any Error>
        do { result = .success(try await body()) } catch { result = .failure(error) }
        if !handover.give(result), case .success(let outcome) = result { orphaned(outcome) }
    }
    return try await handover.take()
}

/// A result on its way from the task that has it to the one that waits for it.
private final class Handover<Outcome: Sendable>: Sendable {
    private typealias Waiting = CheckedContinuation<Outcome, any Error>

    private enum State {
        case open
        case given(Result<Outcome, any Error>)
        case waiting(Waiting)
        case over
    }

    private let state = NIOLockedValueBox(State.open)

    /// Returns false where nobody waits any more.
    func give(_ result: Result<Outcome, any Error>) -> Bool {
        let (isTaken, waiting) = state.withLockedValue { state -> (Bool, Waiting?) in
            switch state {
            case .open:
                state = .given(result)
                return (true, nil)
            case .waiting(let continuation):
                state = .over
                return (true, continuation)
            case .given, .over:
                return (false, nil)
            }
        }
        waiting?.resume(with: result)
        return isTaken
    }

    func take() async throws -> Outcome {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let result = state.withLockedValue { state -> Result<Outcome, any Error>? in
                    switch state {
                    case .given(let result):
                        state = .over
                        return result
                    case .over:
                        return .failure(CancellationError())
                    case .open, .waiting:
                        state = .waiting(continuation)
                        return nil
                    }
                }
                if let result { continuation.resume(with: result) }
            }
        } onCancel: {
            let waiting = state.withLockedValue { state -> Waiting? in
                switch state {
                case .open:
                    state = .over
                    return nil
                case .waiting(let continuation):
                    state = .over
                    return continuation
                case .given, .over:
                    // It is there: the caller takes it, and finds out by itself that it is cancelled.
                    return nil
                }
            }
            waiting?.resume(throwing: CancellationError())
        }
    }
}
