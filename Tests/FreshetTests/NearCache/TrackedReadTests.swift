import Redis
import Testing

@testable import Freshet

struct TrackedReadTests {
    private let plain = RedisBatch(
        key: "h",
        commands: [RedisCommand("HMGET", "h", "gen"), RedisCommand("TIME"), RedisCommand("HMGET", "h:1", "g")],
        isTransaction: true
    )

    @Test func `the head and the time stay untracked, and all that follows is tracked`() {
        let tracked = TrackedRead.tracking(plain, bumpKey: "h.gen")
        let words = tracked.commands.map { element -> String in
            guard case .command(let command) = element else { return "" }
            return command.arguments.map { String(decoding: $0, as: UTF8.self) }.joined(separator: " ")
        }
        #expect(words == ["HMGET h gen", "TIME", "CLIENT CACHING YES", "GET h.gen", "HMGET h:1 g"])
        #expect(tracked.isTransaction)
    }

    @Test func `the replies are those of the plain transaction`() {
        let replies: [RedisReply] = [.integer(1), .integer(2), .simple("OK"), .null, .integer(3)]
        #expect(TrackedRead.replies(replies) == [.integer(1), .integer(2), .integer(3)])
    }

    @Test func `replies that do not say that the keys are tracked are none`() {
        let refusal = RedisReply.error(RedisServerError(line: "OOM no"))
        #expect(TrackedRead.replies([refusal, refusal, refusal, refusal, refusal]) == nil)
        #expect(TrackedRead.replies([.integer(1), .integer(2)]) == nil)
        #expect(TrackedRead.replies([.integer(1), .integer(2), .null, .null, .null]) == nil)
    }
}
