import Keyspace
import Logging
import NIOCore
import Surroundings

@testable import Freshet
@testable import InvalidationWorker
@testable import Redis

extension FuzzTarget {
    /// What a Redis server sends, and where it is said to be.
    static let redis: [FuzzTarget] = [resp, pipeline, invalidations, reader, claims, heads, url, urlSecret]

    // MARK: - The protocol

    /// The first byte says how the stream is cut into pieces.
    private static let resp = FuzzTarget(
        name: "resp",
        sound: [
            "\u{0}+OK\r\n-WRONGTYPE Operation against\r\n:-9223372036854775808\r\n$0\r\n\r\n$-1\r\n*-1\r\n*0\r\n",
            "\u{1}$4\r\na\r\nb\r\n*3\r\n:1\r\n*2\r\n$1\r\nx\r\n*0\r\n-NOSCRIPT No matching script.\r\n",
            "\u{7}*2\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:7\r\n$-1\r\n",
        ].map { Array($0.utf8) },
        words: ["\r\n", "*", "$", ":", "-", "+", "-1", "2147483647", "4294967296", "9223372036854775808", "*1\r\n"],
        parse: { bytes in
            guard let first = bytes.first else { return false }
            let stream = Array(bytes.dropFirst())
            let whole = decode(stream, pieces: .max)
            let cut = decode(stream, pieces: 1 + Int(first % 32))
            try require(whole.replies == cut.replies, "cut otherwise, other replies: \(whole), \(cut)")
            try require((whole.error == nil) == (cut.error == nil), "cut otherwise, another end: \(whole), \(cut)")
            if let error = whole.error {
                try require(error.code == .protocolViolation, "\(error.code)")
                try require(error.message.utf8.count < 200, "an endless message: \(error)")
                try requireLine(error.message)
            }
            var encoded: [UInt8] = []
            for reply in whole.replies {
                try require(elementCount(reply) <= 1 + limits.elements, "more elements than are allowed")
                encode(reply, to: &encoded)
                _ = (reply.serverTimeInMicroseconds, reply.int64, reply.string)
            }
            let again = decode(encoded, pieces: .max)
            try require(again.replies == whole.replies && again.error == nil, "encodes to others: \(whole), \(again)")
            return whole.error == nil && !whole.replies.isEmpty
        }
    )

    private static let limits = ReplyLimits(bytes: 1 << 20, elements: 256)

    private static func decode(_ bytes: [UInt8], pieces: Int) -> (replies: [RedisReply], error: RedisError?) {
        var decoder = RESPDecoder(limits: limits)
        var replies: [RedisReply] = []
        var buffer = ByteBuffer(bytes: bytes)
        do throws(RedisError) {
            while let piece = buffer.readSlice(length: min(pieces, buffer.readableBytes)), piece.readableBytes > 0 {
                try decoder.decode(piece) { replies.append($0) }
            }
            return (replies, nil)
        } catch {
            return (replies, error)
        }
    }

    private static func elementCount(_ reply: RedisReply) -> Int {
        guard case .array(let elements) = reply else { return 0 }
        return elements.reduce(elements.count) { $0 + elementCount($1) }
    }

    private static func encode(_ reply: RedisReply, to bytes: inout [UInt8]) {
        switch reply {
        case .simple(let text): bytes += "+\(text)\r\n".utf8
        case .error(let error): bytes += "-\(error)\r\n".utf8
        case .integer(let number): bytes += ":\(number)\r\n".utf8
        case .null: bytes += "$-1\r\n".utf8
        case .bulk(let content): bytes += Array("$\(content.count)\r\n".utf8) + content + Array("\r\n".utf8)
        case .array(let elements):
            bytes += "*\(elements.count)\r\n".utf8
            for element in elements { encode(element, to: &bytes) }
        }
    }

    private static let replyWords = [
        "\n*2\n", "\n_\n", "\n$", "\n:9223372036854775807\n", "\n:-9223372036854775808\n", "\n-OOM full\n",
        "\n-NOSCRIPT x\n",
        "\n-WRONGTYPE x\n", "\nE\n", "\n*0\n", "\n$off\n", "\n$held\n", "\n$mine\n",
    ]

    /// The replies to a command, a transaction and a script, and those to a handshake.
    private static let pipeline = FuzzTarget(
        name: "pipeline",
        sound: [
            "$a\n+OK\n+QUEUED\n+QUEUED\n*2\n$b\n:1\n$0123456789012345678901234567890123456789\n:7",
            "$a\n+OK\n+QUEUED\n-OOM full\n-EXECABORT x\n_\n-NOSCRIPT x",
        ],
        words: replyWords,
        parse: { text in
            var script = RedisBatch(key: "k")
            script.append(RedisScript(name: "s", source: "return 7"), keys: ["k"])
            let command = RedisCommand("GET", "k")
            let batches = [
                RedisBatch(key: "k", commands: [command]),
                RedisBatch(key: "k", commands: [command, command], isTransaction: true),
                script,
            ]
            let replies = LooseReplies.parse(text)
            var configuration = RedisConfiguration(endpoint: .tcp(host: "h", port: 1), password: "hunter2-secret")
            configuration.database = 3
            var machine = ConnectionStateMachine<Int>(
                handshake: Handshake(configuration, redirectingTo: .init(clientID: 1, name: "n"))
            )
            _ = machine.start()
            for reply in replies {
                if case .fail(let error) = machine.received(reply) {
                    try require(!error.message.contains("hunter2"), "a password: \(error)")
                    _ = machine.close()
                    break
                }
            }
            let isNew = Pipeline(batches) { _ in nil }
            let outcome: Pipeline.Outcome
            do { outcome = try isNew.outcome(of: Array(replies.prefix(8)), batches: batches) } catch { return false }
            try require(outcome.replies.map(\.count) == [1, 2, 1], "other shapes: \(outcome)")
            try require(outcome.unknown.allSatisfy { $0 == .init(batch: 2, element: 0) }, "\(outcome.unknown)")
            return true
        }
    )

    /// What the connection for invalidations receives, behind its handshake.
    private static let invalidations = FuzzTarget(
        name: "invalidations",
        sound: [
            "*3\n$message\n$__redis__:invalidate\n*2\n$freshet:workflows:{0}:17\n$freshet:workflows:{0}.gen",
            "*3\n$message\n$__redis__:invalidate\n_\n*2\n$pong\n$",
        ],
        words: replyWords + ["__redis__:invalidate", "message", "pong", "freshet:workflows:{0}"],
        parse: { text in
            var machine = InvalidationStateMachine(
                handshake: Handshake(RedisConfiguration(endpoint: .unix(path: "/s")))
            )
            _ = machine.start()
            for reply in [.simple("OK"), .integer(7), .array([.bulk(Array("subscribe".utf8)), .null, .integer(1)])]
                as [RedisReply]
            {
                _ = try machine.received(reply)
            }
            _ = machine.ping()
            for reply in LooseReplies.parse(text) {
                let action: InvalidationStateMachine.Action
                do { action = try machine.received(reply) } catch { return false }
                switch action {
                case .invalidated(let keys):
                    for key in keys { _ = CacheNamespace.workflows.subject(ofKey: key) }
                case .invalidatedEverything, .alive: break
                // What is neither told of nor refused would be an invalidation that nobody hears of.
                case .none, .ready: throw Violation("\(reply) was passed over")
                }
            }
            return true
        }
    )

    // MARK: - Readers and the worker

    private static let known = [workflow(1, optionals: 31), workflow(2, optionals: 0)]
    private static let generation = Generation(counter: 1, nonce: 0xAA)
    private static let now = RedisTime(microseconds: 1_000_000_000)
    /// An entry of `known`, as Redis holds it.
    static let knownEntry = EntryCodec.encode(
        Entry(
            stamp: EntryStamp(namespace: generation, entity: generation, variant: nil, readAt: now),
            payload: WorkflowCodec.encode(known)[...]
        )
    )

    private static let head = "*6\n$1.00000000000000aa\n$1000000000\n$5000\n$7/1/a\n_\n$10:20:\n"
    private static let time = "*2\n$1000\n$0\n"

    /// What a lookup reads: a head, the time, and two entities, of which the first has two variants.
    private static let reader = FuzzTarget(
        name: "reader",
        sound: [
            head + time + "*5\n$1.00000000000000aa\n_\nE\n_\n_\n*3\n$1.00000000000000aa\n_\nE",
            "-OOM full\n-OOM full\n-OOM full\n-OOM full\n" + head + time
                + "*5\n$1.00000000000000aa\n_\nE\n_\n_\n*3\n_\n_\n_\n" + head,
        ],
        words: replyWords + ["1.00000000000000aa", "1000000000", "9223372036854775807", "-9223372036854775808"],
        parse: { text in
            let keys = [
                DetectorWorkflowsKey(detectorID: 1, environment: .global),
                DetectorWorkflowsKey(detectorID: 1, environment: .environment(7)),
                DetectorWorkflowsKey(detectorID: 2, environment: .global),
            ]
            let reader = CacheReader(
                definition: definition,
                redis: AnsweringRedis(LooseReplies.parse(text, entry: knownEntry)),
                degradedAge: .seconds(60),
                near: nil,
                surroundings: .system
            )
            let reading = try runHere { try await reader.read(keys, token: ReadToken(transaction: 7)) }
            try require(reading.findings.count == keys.count, "\(reading.findings.count) findings")
            var hasHit = false
            for finding in reading.findings {
                switch finding {
                case .hit(let workflows):
                    try require(workflows == known, "a hit that nobody stored")
                    try require(reading.trust != .unreachable, "a hit though nothing was read")
                    hasHit = true
                case .miss(let miss):
                    _ = miss.readAt.flatMap { miss.generations.stamp(readAt: $0) }
                }
            }
            return hasHit
        }
    )

    static let definition = CacheDefinition<DetectorWorkflowsKey, [Workflow]>(
        namespace: .workflows,
        entity: { Entity($0.detectorID) },
        variant: { $0.environment.variant },
        encode: WorkflowCodec.encode,
        decode: { try WorkflowCodec.decode($0) },
        load: { _ in throw Violation("nothing is loaded here") }
    )

    /// What the script answers by which loads are claimed.
    private static let claims = FuzzTarget(
        name: "claims",
        sound: [
            "*5\n$1.00000000000000aa\n$\n$mine\n$2.00000000000000bb\n$held",
            "*5\n$1.00000000000000aa\n$2.00000000000000bb\n$held\n$\n$mine",
        ],
        words: replyWords,
        parse: { text in
            typealias Claims = FillClaims<DetectorWorkflowsKey, [Workflow]>
            let asked = [DetectorEnvironment.global, .environment(7)].map { environment in
                Claims.Claimed(
                    key: DetectorWorkflowsKey(detectorID: 1, environment: environment),
                    miss: Claims.Miss(
                        reason: .absent,
                        generations: Generations(namespace: generation, entity: nil, variant: nil),
                        bucket: 0,
                        readAt: now,
                        trust: .healthy
                    )
                )
            }
            let claimed = Claims.claimed(asked, [[0, 1]], [LooseReplies.parse(text)], by: "me")
            try require(claimed.map(\.key) == asked.map(\.key), "other keys")
            for claim in claimed {
                try require((claim.stamp == nil) == (claim.claim == nil), "a claim without a stamp, or a stamp without")
                guard let stamp = claim.stamp else { continue }
                try require(stamp == claim.miss.generations.stamp(readAt: now), "a stamp of other generations")
            }
            return claimed.contains { $0.stamp != nil }
        }
    )

    /// What the worker reads of a head, and what its own script answers.
    private static let heads = FuzzTarget(
        name: "heads",
        sound: [
            "*2\n$1000\n$0\n*2\n$mark\n$7/1/a\n*6\n$applied\n$1.00000000000000aa\n:1\n:2\n:3\n:4\n*6\n$applied\n$x\n:0\n:0\n:0\n:0",
            "*2\n$1000\n$0\n-WRONGTYPE x\n*3\n$fenced\n$other\n$7/2/b",
        ],
        words: replyWords + ["applied", "fenced"],
        parse: { text in
            let replies = LooseReplies.parse(text)
            let store = HeadStore(redis: AnsweringRedis(replies), limits: KeyspaceLimits())
            let plan = try passPlan()
            let heads: [CacheNamespace: [ObservedHead]]
            do { heads = try runHere { try await store.observe([.workflows]) } } catch is Violation {
                throw Violation("it waits")
            } catch { return false }
            for head in heads[.workflows] ?? [] {
                try require(
                    (head.fence.mark + head.fence.postgres).utf8.allSatisfy { (0x20...0x7E).contains($0) },
                    "\(head)"
                )
            }
            let outcomes: [PassOutcome]
            do { outcomes = try runHere { try await store.apply([plan, plan]) } } catch { return true }
            try require(outcomes.count == 2, "\(outcomes)")
            return true
        }
    )

    private static func passPlan() throws -> PassPlan {
        guard let identity = PostgresIdentity("7/1/a") else { throw Violation("no identity") }
        return PassPlan(
            claim: CacheClaim(cache: "workflows"),
            snapshot: "10:20:",
            heads: [ObservedHead(fence: .init(mark: "", postgres: ""), time: now)],
            identity: identity,
            nextMark: "next",
            namespace: .workflows,
            limits: KeyspaceLimits()
        )
    }

    // MARK: - Addresses

    private static let urlWords = [
        "redis://", "rediss://", "unix://", "://", "@", ":", "/", "?", "#", "&", "%", "%0A", "%00", "%ff", "[::1]",
        "db=", "cafile=",
        "certfile=/c&keyfile=/k", "65536", "99999999999999999999", "\u{9B}", "\u{2028}",
    ]

    private static let url = FuzzTarget(
        name: "redis-url",
        sound: [
            "redis://localhost", "redis://ada:s%40c%2Fr%3Ft%23%25@cache.example:6380/3", "redis://[2001:db8::7]:7000/1",
            "rediss://h/2?cafile=/etc/my%20ca.pem&certfile=/c&keyfile=/k", "unix://ada:secret@/run/a@b.sock?db=9",
            "redis://h?db=4", "redis://:a@b@h",
        ],
        words: urlWords,
        parse: { text in
            let configuration: RedisConfiguration
            switch configured(by: text) {
            case .success(let read): configuration = read
            case .failure(let error):
                try require(error.description.hasPrefix("Redis URL \""), "\(error)")
                try requireLine(error.description)
                return false
            }
            try requireLine("\(configuration)")
            try require((0...Int(Int32.max)).contains(configuration.database), "database \(configuration.database)")
            var open = configuration
            (open.username, open.password, open.tls) = (nil, nil, configuration.tls.map { _ in RedisTLS() })
            switch configured(by: "\(open)") {
            case .success(let again): try require(again == open, "\(open) is another server: \(again)")
            case .failure(let error): throw Violation("\(open) is no URL: \(error)")
            }
            return true
        }
    )

    private static func configured(by url: String) -> Result<RedisConfiguration, RedisURLError> {
        Result { () throws(RedisURLError) in try RedisConfiguration(url: url) }
    }

    static let secret = "hunter2Z"

    /// A URL with a password, in lines: scheme, user, what stands before and after the secret in the password, the rest.
    private static let urlSecret = FuzzTarget(
        name: "redis-url-secret",
        sound: [
            "redis\nada\n\n\nh:6379/0", "rediss\n\np%40\n%2F\n[::1]:7000?cafile=/c",
            "unix\nada\n\n\n/run/redis.sock?db=1",
        ],
        words: urlWords + ["\n"],
        parse: { text in
            var parts = text.split(separator: "\n", omittingEmptySubsequences: false).map { String($0) }
            parts += Array(repeating: "", count: max(0, 5 - parts.count))
            let url = "\(parts[0])://\(parts[1]):\(parts[2])\(secret)\(parts[3])@\(parts[4])"
            switch configured(by: url) {
            case .success(let configuration):
                try require(!"\(configuration)".contains(secret), "the password of \(url) in \(configuration)")
                return true
            case .failure(let error):
                try require(!error.description.contains(secret), "the password of \(url) in \(error)")
                return false
            }
        }
    )
}
