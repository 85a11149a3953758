@preconcurrency import Dispatch
import Glibc
import Synchronization

/// SIGTERM and SIGINT, as a question that can be asked.
final class Termination: Sendable {
    private let received: Received
    private let sources: [any DispatchSourceSignal]

    /// From now on the signals no longer end the process by themselves.
    ///
    /// - Parameter body: Called when the first arrives.
    init(_ body: @escaping @Sendable (Int32) -> Void = { _ in }) {
        let received = Received()
        self.received = received
        let queue = DispatchQueue(label: "chaos.signals")
        sources = [SIGTERM, SIGINT].map { number in
            // The default action would come first.
            Glibc.signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
            source.setEventHandler { if received.note(number) { body(number) } }
            source.resume()
            return source
        }
    }

    var isRequested: Bool { signal != nil }

    /// The first that arrived.
    var signal: Int32? { received.number }
}

/// The first signal.
private final class Received: Sendable {
    private let value = Atomic<Int32>(0)

    var number: Int32? {
        let number = value.load(ordering: .relaxed)
        return number == 0 ? nil : number
    }

    /// True for the first.
    func note(_ number: Int32) -> Bool {
        value.compareExchange(expected: 0, desired: number, ordering: .relaxed).exchanged
    }
}
