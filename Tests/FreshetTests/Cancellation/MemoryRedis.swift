import Keyspace
import Redis

/// A Redis in memory that knows what a reader sends, one command after the other, on a clock that stands still.
///
/// It does what the scripts do as far as one reader can tell; that the real ones do so is held against a real server elsewhere.
struct MemoryRedis: Sendable {
    /// What the commands of one call are for.
    enum Purpose: String, Sendable {
        case read, seed, claim, fill, release
    }

    static let now = RedisTime(microseconds: 1_000_000_000)

    var head: [String: String] = [:]
    /// The generations and entries of each entity, by its key.
    var entities: [String: [String: [UInt8]]] = [:]
    /// Who is loading, by the key of the claim.
    var claims: [String: String] = [:]
    /// Whether nothing is answered.
    var isDown = false
    /// How often something was read.
    private(set) var readCount = 0

    static func purpose(of batches: [RedisBatch]) -> Purpose {
        guard case .script(let script, _, _)? = batches.first?.commands.first else { return .read }
        return switch script.name {
        case KeyspaceScript.claim.name: .claim
        case KeyspaceScript.fill.name: .fill
        case KeyspaceScript.release.name: .release
        default: .seed
        }
    }

    mutating func execute(_ batches: [RedisBatch]) throws(RedisError) -> [[RedisReply]] {
        if Self.purpose(of: batches) == .read { readCount += 1 }
        if isDown { throw RedisError(.cannotConnect, "it is down") }
        return batches.map { batch in batch.commands.map { execute($0) } }
    }

    private mutating func execute(_ element: RedisBatch.Element) -> RedisReply {
        switch element {
        case .command(let command):
            let words = command.arguments.map { String(decoding: $0, as: UTF8.self) }
            switch words[0] {
            case "TIME":
                return .array([bulk(String(Self.now.microseconds / 1_000_000)), bulk("0")])
            case "HMGET":
                let isHead = words[1].hasSuffix("}")
                return .array(
                    words[2...].map { field in
                        isHead ? bulk(head[field]) : entities[words[1]]?[field].map { .bulk($0) } ?? .null
                    }
                )
            default:
                return .error(RedisServerError(code: .generic, message: "unknown command"))
            }
        case .script(let script, let keys, let arguments):
            return run(script, keys, arguments)
        }
    }

    private mutating func run(_ script: RedisScript, _ keys: [String], _ arguments: [RedisArgument]) -> RedisReply {
        let bytes = RedisCommand("", arguments: arguments).arguments.dropFirst().map { $0 }
        let words = bytes.map { String(decoding: $0, as: UTF8.self) }
        switch script.name {
        case KeyspaceScript.seedNamespace.name:
            if head["gen"] == nil { head["gen"] = words[0] }
            return bulk(head["gen"])
        case KeyspaceScript.claim.name:
            return claim(keys, words)
        case KeyspaceScript.release.name:
            let held = zip(keys, words).filter { claims[$0] == $1 }
            for (key, _) in held { claims[key] = nil }
            return .integer(Int64(held.count))
        case KeyspaceScript.fill.name:
            let outcome = fill(keys, words, entry: bytes[4])
            if !words[9].isEmpty, claims[keys[2]] == words[9] { claims[keys[2]] = nil }
            return bulk(outcome.rawValue)
        default:
            return .error(RedisServerError(code: .generic, message: "unknown script"))
        }
    }

    private mutating func claim(_ keys: [String], _ words: [String]) -> RedisReply {
        let entity = text(keys[0], "g") ?? words[0]
        entities[keys[0], default: [:]]["g"] = Array(entity.utf8)
        var answer = [bulk(entity)]
        for (index, key) in keys.dropFirst().enumerated() {
            let (variant, isWorthReading) = (words[5 + 2 * index], words[6 + 2 * index] == "1")
            let generation = text(keys[0], "g:" + variant) ?? ""
            let guardText = "\(words[2]) \(entity) \(generation) "
            let entry = entities[keys[0]]?["e:" + variant].flatMap { try? EntryCodec.decode($0) }
            let isThere = entry.map { entry in
                "\(entry.stamp.namespace) \(entry.stamp.entity) \(entry.stamp.variant?.description ?? "") " == guardText
            }
            let held = claims[key]
            if isWorthReading, isThere == true {
                answer += [bulk(generation), bulk("held")]
            } else if let held, held.hasPrefix(guardText), held != guardText + words[3] {
                answer += [bulk(generation), bulk("held")]
            } else {
                claims[key] = guardText + words[3]
                answer += [bulk(generation), bulk("mine")]
            }
        }
        return .array(answer)
    }

    private mutating func fill(_ keys: [String], _ words: [String], entry: [UInt8]) -> FillOutcome {
        if head["gen"] != words[0] { return .namespace }
        if text(keys[1], "g") != words[1] { return .entity }
        if text(keys[1], "g:" + words[3]) ?? "" != words[2] { return .variant }
        entities[keys[1], default: [:]]["e:" + words[3]] = entry
        return .stored
    }

    private func text(_ key: String, _ field: String) -> String? {
        entities[key]?[field].map { String(decoding: $0, as: UTF8.self) }
    }

    private func bulk(_ text: String?) -> RedisReply {
        text.map { .bulk(Array($0.utf8)) } ?? .null
    }
}

// MARK: - What is in it before a lookup

extension MemoryRedis {
    static let identity = "1/1/a"
    private static let generation = Generation(counter: 1, nonce: 7)
    /// A process that is not the one under test.
    static let other = "another process"

    /// A worker vouches, and nothing is cached.
    static var vouched: MemoryRedis {
        var redis = MemoryRedis()
        redis.head = [
            "gen": generation.description, "vouched": String(now.microseconds), "lease": "5000", "pg": identity,
        ]
        return redis
    }

    /// Stores the global workflows of a detector, as a process does that has loaded them.
    mutating func store(_ detector: Int64, payload: [UInt8]) {
        let key = CacheNamespace.workflows.key(of: Entity(detector))
        let stamp = EntryStamp(
            namespace: Self.generation,
            entity: Self.generation,
            variant: nil,
            readAt: Self.now
        )
        entities[key] = [
            "g": Array(Self.generation.description.utf8),
            "e:-": EntryCodec.encode(Entry(stamp: stamp, payload: payload[...])),
        ]
        claims[CacheNamespace.workflows.claimKey(of: Entity(detector), .global)] = nil
    }

    /// Another process claims the load of the global workflows of a detector.
    mutating func claimForOther(_ detector: Int64) {
        let namespace = CacheNamespace.workflows
        entities[namespace.key(of: Entity(detector))] = ["g": Array(Self.generation.description.utf8)]
        claims[namespace.claimKey(of: Entity(detector), .global)] =
            "\(Self.generation) \(Self.generation)  \(Self.other)"
    }

    /// The other process gives the load up.
    mutating func releaseForOther(_ detector: Int64) {
        claims[CacheNamespace.workflows.claimKey(of: Entity(detector), .global)] = nil
    }
}
