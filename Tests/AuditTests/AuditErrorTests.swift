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
            let error = AuditError.unexpectedReply("HMGET", reply)
            #expect(error.description.contains(" HMGET was answered with \(kind), "))
            #expect(!error.description.contains("hunter2"))
        }
    }

    @Test func `every error names the setting or the command that mends it`() {
        let mends: [(AuditError, String)] = [
            (.pooled, "--postgres"), (.nothingAttached, "run freshet migrate"),
            (.unexpectedReply("TIME", .null), "--redis"), (.unexpectedReply("EXEC", "5 elements"), "--redis"),
        ]
        for (error, mend) in mends {
            #expect(error.description.contains(mend), "\(error)")
            #expect(!error.description.contains("\n"))
        }
    }
}
