import NIOConcurrencyHelpers
import Redis

/// A Redis that answers from a list, for what no real one can be made to do at will.
final class ScriptedRedis: RedisClient {
    private let answers: NIOLockedValueBox<[[[RedisReply]]]>
    private let requests = NIOLockedValueBox<[[RedisBatch]]>([])

    init(_ answers: [[[RedisReply]]]) {
        self.answers = NIOLockedValueBox(answers)
    }

    var requestCount: Int { requests.withLockedValue { $0.count } }

    /// The names of the scripts that were run, in order.
    var scripts: [String] {
        requests.withLockedValue { requests in
            requests.joined().flatMap(\.commands).compactMap { element in
                if case .script(let script, _, _) = element { script.name } else { nil }
            }
        }
    }

    func send(_ batches: [RedisBatch], timeLimit: Duration?) async throws(RedisError) -> [[RedisReply]] {
        requests.withLockedValue { $0.append(batches) }
        let next = answers.withLockedValue { $0.isEmpty ? nil : $0.removeFirst() }
        guard let next else { throw RedisError(.protocolViolation, "one request too many") }
        return next
    }
}
