// "Cancelled at every await in turn", for code that also begins tasks of its own.
//
// A step is a job of a caller that has become ready, or a call to the outside (a server, a loader) that waits to be answered. All
// come in one queue, in the order in which they came about, and the test takes one after the other. What runs on the pool in
// between always ends in one of the two, so that nothing has to be waited for but the next step. Where none comes, something
// waits for ever: the time limit of the test ends it, and says at which step.
//
// What is under test is given something that nobody else retains, and whose end is an event as well: then no task of it is left,
// and nothing that waits.

/// The world around what is under test, which stands still between any two steps.
public final class SteppedStage: Sendable {
    enum Event: Sendable {
        case job
        case call(HeldCall)
        case ended(caller: Int)
        case forgotten
    }

    /// When the first caller is cancelled, and what comes next.
    public enum Moment: Sendable, CaseIterable {
        /// When the step before is over, whatever goes on elsewhere.
        case atOnce
        /// When the next step is known, which is then taken.
        case beforeStep
        /// When the next step is known; no call is answered any more before the caller has ended, for it waits for none.
        case withoutAnswer
    }

    /// Why a play cannot go on.
    public struct StandsStill: Error, CustomStringConvertible {
        /// Who waits, and after which steps.
        public let description: String
    }

    /// What is left of a play: whether the first caller was cancelled, and the steps, by name.
    public struct Outcome: Sendable {
        /// Whether the first caller was still under way at its step, and was cancelled.
        public var isCancelled = false
        /// The steps, by name.
        public var trace: [String] = []
    }

    private let events = SignalledQueue<Event>()
    private let executor: SteppingExecutor

    /// A stage on which nobody acts yet.
    public init() {
        executor = SteppingExecutor { [events] in events.append(.job) }
    }

    /// Starts a caller, whose jobs are steps; the first, number 0, is the one that is cancelled.
    public func start<Answer: Sendable>(
        caller: Int,
        _ body: @escaping @Sendable () async throws -> Answer
    ) -> Task<Answer, any Error> {
        Task(executorPreference: executor) { [events] in
            defer { events.append(.ended(caller: caller)) }
            return try await body()
        }
    }

    /// Makes a call a step, and waits for it.
    ///
    /// - Parameters:
    ///   - isForCallers: Whether the call is made for callers that wait for it: when all have ended it is not answered any
    ///     more, so that it must be cancelled.
    ///   - perform: What is done when it is the call's turn; it is told whether its task was cancelled before.
    /// - Returns: False where the caller was cancelled, and then at once.
    public func hold(
        _ name: String,
        isForCallers: Bool = false,
        _ perform: @escaping @Sendable (_ isCancelled: Bool) -> Void = { _ in }
    ) async -> Bool {
        let call = HeldCall(name, isForCallers: isForCallers, perform)
        events.append(.call(call))
        return await call.wait()
    }

    /// What only the code under test retains has come to its end.
    public func forget() {
        events.append(.forgotten)
    }

    /// Takes steps until all callers have ended and everything is forgotten.
    ///
    /// - Parameters:
    ///   - step: Before which step the first caller is cancelled, counted from 0.
    ///   - callerCount: How many callers have been started.
    ///   - cancel: Cancels the first.
    public func play(
        cancellingBefore step: Int,
        _ moment: Moment,
        callerCount: Int,
        cancel: () -> Void
    ) async throws -> Outcome {
        var outcome = Outcome()
        var running = Set(0..<callerCount)
        var (count, isForgotten) = (0, false)
        var postponed: [HeldCall] = []
        func cancelWhereDue() {
            guard count == step, running.contains(0), !outcome.isCancelled else { return }
            outcome.isCancelled = true
            outcome.trace.append("cancelled")
            cancel()
        }
        func answer(_ call: HeldCall) {
            guard !call.isForCallers || !running.isEmpty else { return }
            outcome.trace.append(call.name)
            call.letGo()
            count += 1
        }
        while !running.isEmpty || !isForgotten {
            if moment == .atOnce { cancelWhereDue() }
            guard let event = await events.next() else {
                throw StandsStill(
                    description: "callers \(running) wait for ever, isForgotten: \(isForgotten), after \(outcome.trace)"
                )
            }
            switch event {
            case .job:
                cancelWhereDue()
                outcome.trace.append("job")
                _ = executor.step()
                count += 1
            case .call(let call):
                cancelWhereDue()
                if moment == .withoutAnswer, outcome.isCancelled, running.contains(0) {
                    postponed.append(call)
                } else {
                    answer(call)
                }
            case .ended(let caller):
                outcome.trace.append("end of \(caller)")
                running.remove(caller)
                if caller == 0 { postponed.forEach(answer) }
            case .forgotten:
                isForgotten = true
            }
        }
        return outcome
    }
}
