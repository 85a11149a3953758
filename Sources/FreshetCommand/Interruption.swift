@preconcurrency import Dispatch
import Glibc
import Synchronization

/// SIGINT and SIGTERM: the first asks, the second leaves at once.
final class Interruption: Sendable {
    /// The names of the signals that asked, as they come.
    let requests: AsyncStream<Int32>
    private let sources: [any DispatchSourceSignal]

    /// From now on the signals no longer end the process by themselves.
    ///
    /// - Parameter leave: Called on the second signal, before the process ends with 128 and the signal's number.
    init(beforeLeaving leave: @escaping @Sendable () -> Void = {}) {
        let (requests, continuation) = AsyncStream.makeStream(of: Int32.self)
        self.requests = requests
        let queue = DispatchQueue(label: "freshet.signals")
        let seen = Counter()
        sources = [SIGINT, SIGTERM].map { number in
            // The default action would come first.
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
            source.setEventHandler {
                if seen.next() == 1 {
                    continuation.yield(number)
                } else {
                    leave()
                    _exit(128 + number)
                }
            }
            source.resume()
            return source
        }
    }
}

/// Counts, on whatever thread.
private final class Counter: Sendable {
    private let value = Atomic(0)

    func next() -> Int { value.add(1, ordering: .relaxed).newValue }
}
