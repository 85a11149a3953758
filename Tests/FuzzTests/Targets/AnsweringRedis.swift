import Redis
import Synchronization
import TestSupport

/// A Redis that answers with the replies of a list, one for each command, and with nothing behind its end.
final class AnsweringRedis: RedisClient {
    private let rest: Mutex<ArraySlice<RedisReply>>

    init(_ replies: [RedisReply]) {
        rest = Mutex(replies[...])
    }

    func send(_ batches: [RedisBatch], timeLimit: Duration?) async throws(RedisError) -> [[RedisReply]] {
        rest.withLock { rest in
            batches.map { batch in batch.commands.map { _ in rest.popFirst() ?? .null } }
        }
    }
}

/// Runs what waits for nothing but itself, on this thread.
func runHere<Value: Sendable>(_ body: @escaping @Sendable () async throws -> Value) throws -> Value {
    let executor = SteppingExecutor()
    let result = ResultBox<Value>()
    Task(executorPreference: executor) {
        do { result.set(.success(try await body())) } catch { result.set(.failure(error)) }
    }
    while executor.step() {}
    guard let result = result.value else { throw Violation("it waits for something") }
    return try result.get()
}

private final class ResultBox<Value: Sendable>: Sendable {
    private let content = Mutex<Result<Value, any Error>?>(nil)

    var value: Result<Value, any Error>? { content.withLock { $0 } }

    func set(_ result: Result<Value, any Error>) { content.withLock { $0 = result } }
}
