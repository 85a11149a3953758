import NIOConcurrencyHelpers

/// What several threads append, and one task takes, in its order.
///
/// An `AsyncStream` of the elements hands an element to a task that waits for it by the runtime's own means, which the thread
/// sanitizer does not see (swiftlang/swift#57803): it would call every field of the element a race. Here the elements pass through a
/// lock, and the stream only says that there is one more.
public final class SignalledQueue<Element: Sendable>: Sendable {
    private let elements = NIOLockedValueBox<[Element]>([])
    private let signals: AsyncStream<Void>
    private let signal: AsyncStream<Void>.Continuation

    /// A queue that is empty.
    public init() {
        (signals, signal) = AsyncStream.makeStream()
    }

    /// Puts an element at the end.
    public func append(_ element: Element) {
        elements.withLockedValue { $0.append(element) }
        signal.yield()
    }

    /// Waits for the next element.
    ///
    /// One task at a time may do that.
    ///
    /// - Returns: Nil where the task is cancelled.
    public func next() async -> Element? {
        var signals = signals.makeAsyncIterator()
        guard await signals.next() != nil else { return nil }
        return elements.withLockedValue { $0.removeFirst() }
    }
}
