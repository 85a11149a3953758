import NIOConcurrencyHelpers

/// A call that does not return before the test lets it go, or its caller is cancelled.
public final class HeldCall: Sendable {
    private enum State {
        case new
        case waiting(CheckedContinuation<Bool, Never>)
        case over(isCancelled: Bool)
    }

    /// What it is, for a person who reads why a test stands still.
    public let name: String
    let isForCallers: Bool
    private let state = NIOLockedValueBox(State.new)
    private let perform: @Sendable (_ isCancelled: Bool) -> Void

    init(_ name: String, isForCallers: Bool, _ perform: @escaping @Sendable (_ isCancelled: Bool) -> Void) {
        self.name = name
        self.isForCallers = isForCallers
        self.perform = perform
    }

    /// Waits to be let go.
    ///
    /// - Returns: False where the caller was cancelled first, and then at once.
    func wait() async -> Bool {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let wasLetGo = state.withLockedValue { state -> Bool? in
                    if case .over(let isCancelled) = state { return !isCancelled }
                    state = .waiting(continuation)
                    return nil
                }
                if let wasLetGo { continuation.resume(returning: wasLetGo) }
            }
        } onCancel: {
            end(isCancelled: true)
        }
    }

    /// It is the call's turn.
    func letGo() {
        let isCancelled = state.withLockedValue { state in
            if case .over = state { true } else { false }
        }
        perform(isCancelled)
        end(isCancelled: false)
    }

    private func end(isCancelled: Bool) {
        let waiting = state.withLockedValue { state -> CheckedContinuation<Bool, Never>? in
            defer { if case .over = state {} else { state = .over(isCancelled: isCancelled) } }
            if case .waiting(let continuation) = state { return continuation }
            return nil
        }
        waiting?.resume(returning: !isCancelled)
    }
}
