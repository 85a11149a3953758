@preconcurrency import Dispatch
import Glibc

/// SIGHUP, as a request to read the settings again.
///
/// On a terminal it is left as it is, and ends the process: there it says that the terminal is gone.
final class HangUp: Sendable {
    /// An element for each signal; those that come while one is under way are one.
    let requests: AsyncStream<Void>
    private let source: (any DispatchSourceSignal)?

    init() {
        let (requests, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        self.requests = requests
        guard isatty(STDIN_FILENO) == 0 else {
            source = nil
            return
        }
        signal(SIGHUP, SIG_IGN)
        let source = DispatchSource.makeSignalSource(signal: SIGHUP, queue: DispatchQueue(label: "freshet.hang-up"))
        source.setEventHandler { continuation.yield() }
        source.resume()
        self.source = source
    }
}
