import Redis
import Testing

@testable import Audit

@Suite struct AuditErrorTests {
    @Test func `an error tells what kind of reply it was, and nothing of what Redis holds`() {
        let content = RedisReply.bulk(Array("hunter2".utf8))
        let replies: [(RedisReply, String)] = [
            (content, "a string"), (.simple("hunter2"), "a status"), (.integer(7), "a number"), (.null, "nothing"),
            (.array([content, .null]), "2 elements"), (.error(RedisServerError(line: "hunter2")), "an error"),
        ]
        for (reply, kind) in replies {
            #expect(AuditError.unexpectedReply("HMGET", reply).description == "Redis answered HMGET with \(kind)")
        }
    }
}
