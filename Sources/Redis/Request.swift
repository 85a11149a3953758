internal import NIOCore

/// A caller's pipeline on its way: waiting for a connection, then for replies, then done.
///
/// `@unchecked Sendable` because everything that changes is touched on the node's event loop only.
final class Request: @unchecked Sendable {
    typealias Completion = (Result<[RedisReply], RedisError>) -> Void

    private enum State {
        /// Created; its caller may have been cancelled already.
        case created(isCancelled: Bool)
        case pending(Completion)
        case done
    }

    /// What is sent; there is a reply for each.
    let commands: [RedisCommand]
    /// How many bytes that is at the most, as ``RESPEncoder/bound(of:)`` says.
    let byteBound: Int
    let timeLimit: TimeAmount

    // Unchecked, because no access to it calls back: the completion is called when it is over.
    @exclusivity(unchecked) private var state = State.created(isCancelled: false)
    /// Where its replies will arrive.
    private(set) var place: (connection: ConnectionHandler, place: UInt64)?
    /// When its time is over.
    var deadline = NIODeadline.distantFuture

    init(commands: [RedisCommand], byteBound: Int, timeLimit: TimeAmount) {
        self.commands = commands
        self.byteBound = byteBound
        self.timeLimit = timeLimit
    }

    /// Takes over the completion.
    ///
    /// Returns false, having completed, if the caller was cancelled before it came here.
    func begin(_ completion: @escaping Completion) -> Bool {
        guard case .created(let isCancelled) = state else {
            preconditionFailure("a request is submitted once")
        }
        state = .pending(completion)
        if isCancelled {
            complete(.failure(.cancelled()))
        }
        return !isCancelled
    }

    func sent(on connection: ConnectionHandler, place: UInt64) {
        self.place = (connection, place)
    }

    /// The caller was cancelled before the request was submitted.
    ///
    /// Returns false if it has been submitted.
    func cancelBeforeSubmission() -> Bool {
        guard case .created = state else { return false }
        state = .created(isCancelled: true)
        return true
    }

    var isPending: Bool {
        if case .pending = state { true } else { false }
    }

    /// Gives the caller its result.
    ///
    /// Only the first does anything.
    func complete(_ result: Result<[RedisReply], RedisError>) {
        guard case .pending(let completion) = state else { return }
        state = .done
        place = nil
        completion(result)
    }
}

extension RedisError {
    static func cancelled(file: String = #fileID, line: Int = #line) -> RedisError {
        RedisError(.cancelled, "the calling task was cancelled", file: file, line: line)
    }

    static func closed(_ configuration: RedisConfiguration, file: String = #fileID, line: Int = #line) -> RedisError {
        RedisError(.closed, "the client of \(configuration) has been closed", file: file, line: line)
    }
}
