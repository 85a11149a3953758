import Keyspace
import Redis

@testable import Doctor

extension FuzzTarget {
    /// What `freshet doctor` asks of Redis.
    static let doctor: [FuzzTarget] = [redisFacts]

    private static let granted = String(repeating: ":1\n", count: 22) + String(repeating: ":0\n", count: 8)

    /// The replies to an examination: TIME, ACL WHOAMI, INFO, CONFIG GET five times, two scripts, the heads of two caches.
    ///
    /// Lines of INFO end in a carriage return alone, because a reply is one line here.
    private static let redisFacts = FuzzTarget(
        name: "doctor-redis",
        sound: [
            """
            *2\n$1000\n$0\n$freshet_worker\n\
            $# Server\rredis_version:7.0.15\rrole:master\rcluster_enabled:0\rused_memory:1000\rmaxmemory:2000\r\
            maxmemory_policy:noeviction\revicted_keys:3\rrdb_last_bgsave_status:err\raof_enabled:1\n\
            *2\n$maxmemory-policy\n$noeviction\n*2\n$save\n$3600 1\n*2\n$appendonly\n$yes\n\
            *2\n$hash-max-listpack-value\n$64\n*2\n$stop-writes-on-bgsave-error\n$yes\n:1\n*30\n\(granted)\
            *2\n$1000\n$0\n*6\n$1.00000000000000aa\n$1000000000\n$5000\n$7/1/a\n_\n$mark\n\
            *2\n$1000\n$0\n-WRONGTYPE x
            """,
            """
            -NOPERM x\n-NOPERM x\n\
            $redis_version:5\rrole:slave\rmaster_host:db\rmaster_port:6379\rcluster_enabled:1\rused_memory:7\r\
            loading:1\n-NOPERM x\n-NOPERM x\n-ERR acl_check_cmd\n
            """,
            "*2\n$1000\n$0\n$it's\n$\n*0\n*0\n*0\n*0\n*0\n:1\n*30\n\(granted)",
        ],
        words: [
            "\n*2\n", "\n_\n", "\n:0\n", "\n-NOPERM x\n", "\n-WRONGTYPE x\n", "\r", "\rused_memory:", "\rmaxmemory:0",
            "\rrole:", "\rmaster_host:", "'", ";", "$(x)", "`", "\u{9B}", "9223372036854775807", "-9223372036854775808",
        ],
        parse: { text in
            let replies = LooseReplies.parse(text)
            // What a command is refused is a fact, so nothing that Redis answers ends an examination.
            let facts: RedisFacts = try runHere {
                let examination = RedisExamination(
                    redis: AnsweringRedis(replies),
                    configuration: RedisConfiguration(
                        endpoint: .tcp(host: "db", port: 1),
                        username: "ada",
                        password: secret
                    ),
                    namespace: .workflows
                )
                var facts = try await examination.facts()
                facts.heads = try await examination.heads(["workflows", "datasources"])
                return facts
            }
            let findings = Diagnosis(
                Facts(
                    postgres: .unreachable("not asked"),
                    redis: .reached(facts),
                    version: "1.0",
                    namespace: .workflows
                )
            ).findings
            for check in Check.allCases where check.area == "redis" || check.area == "cache" {
                try require(findings.contains { $0.check == check }, "\(check.rawValue) is passed over")
            }
            for finding in findings {
                let told = [finding.subject ?? "", finding.what, finding.why, finding.mend?.text ?? ""]
                try require(
                    text.contains(secret) || told.allSatisfy { !$0.contains(secret) },
                    "a password: \(finding)"
                )
                if case .shell(let command)? = finding.mend { try requireWords(command) }
            }
            return facts.info.value != nil
        }
    )

    /// Holds a command that a person may paste into a shell against the rule: what is not quoted is plain words.
    private static func requireWords(_ command: String) throws {
        var rest = command.utf8[...]
        var isQuoted = false
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "'"): isQuoted.toggle()
            case _ where isQuoted: break
            // What it stands before is no quotation mark.
            case UInt8(ascii: "\\"): rest = rest.dropFirst()
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                break
            default:
                try require(" /._-:@%+=,".utf8.contains(byte), "a shell would obey \(command.debugDescription)")
            }
        }
        try require(!isQuoted, "a quotation without an end: \(command.debugDescription)")
    }
}
