import Keyspace
import Redis
import Simulation
import Surroundings
import Testing

/// The simulation's Redis is held to a real one: the same commands, the same replies, the same keys afterwards.
struct RedisModelTests {
    private static let head = "freshet:workflows:{0}"
    private static let entities = ["freshet:workflows:{0}:1", "freshet:workflows:{0}:2"]
    private static let claims = entities.map { "\($0):c:5" }
    private static let keys = [head, "\(head).gen"] + entities + claims
    private static let hintMarks = ["00000000000000c1 9", "00000000000000c1 10", "00000000000000c2 1"]
    private static let generations = [
        "1.0000000000000001", "2.00000000000000a2", "9007199254740992.00000000000000ff", "zero", "03.0000000000000001",
        "",
    ]

    /// A real server and a model, to which everything is done that is done to the other.
    private final class Pair {
        let node: RedisNode
        let model: RedisModel

        init(node: RedisNode) {
            self.node = node
            let clock = Clock()
            model = RedisModel { clock.time }
            self.clock = clock
        }

        private let clock: Clock

        /// The clock of the model: what the server's said last.
        private final class Clock { var time: Int64 = 0 }

        func now() async throws -> Int64 {
            let reply = try await node.send(RedisCommand("TIME"), key: "")
            clock.time = try #require(reply.serverTimeInMicroseconds)
            return clock.time
        }

        /// Runs one element on both; true where they answered the same.
        func agree(_ element: RedisBatch.Element) async throws -> Bool {
            _ = try await now()
            let real = try #require(try await node.send([RedisBatch(key: "", commands: [element])]).first?.first)
            let modelled = model.execute(element)
            return describe(real) == describe(modelled)
        }

        /// Of an error the code alone: the server says where in a script it happened.
        private func describe(_ reply: RedisReply) -> String {
            switch reply {
            case .error(let error): "error \(error.code)"
            case .array(let elements): "[\(elements.map { describe($0) }.joined(separator: ", "))]"
            default: "\(reply)"
            }
        }

        /// What the server and the model hold, as text.
        func contents(of key: String) async throws -> (server: String, model: String) {
            let type = try await node.send(RedisCommand("TYPE", .string(key)), key: key).string ?? ""
            var server = "nothing"
            if type == "hash" {
                let parts = try #require(try await node.send(RedisCommand("HGETALL", .string(key)), key: key).array)
                let fields = stride(from: 0, to: parts.count, by: 2).map { "\(parts[$0])=\(parts[$0 + 1])" }
                server = fields.sorted().joined(separator: " ")
            } else if type == "string" {
                server = "\(try await node.send(RedisCommand("GET", .string(key)), key: key))"
            }
            let expires = (try await node.send(RedisCommand("PTTL", .string(key)), key: key).int64 ?? -2) >= 0
            let entry = model.dataset.entries[key]
            let modelled =
                switch entry?.content {
                case .text(let bytes): "\(RedisReply.bulk(bytes))"
                case .hash(let fields):
                    fields.map { "\(RedisReply.bulk(Array($0.name.utf8)))=\(RedisReply.bulk($0.value))" }.sorted()
                        .joined(separator: " ")
                case nil: "nothing"
                }
            return ("\(server), expires: \(expires)", "\(modelled), expires: \(entry?.expires != nil)")
        }
    }

    @Test func `random commands and scripts do the same to the model and to a real server`() async throws {
        try await RedisNode.withOwnServer { node in
            for seed in UInt64(1)...60 { try await compare(seed: seed, Pair(node: node)) }
        }
    }

    private func compare(seed: UInt64, _ pair: Pair) async throws {
        var random = SplitMix64(seed: seed)
        try await setState(pair, isFull: false, isReplica: false)
        _ = try await pair.node.send(RedisCommand("FLUSHALL"), key: "")
        for step in 1...40 {
            if Int.random(in: 0..<12, using: &random) == 0 {
                try await setState(
                    pair,
                    isFull: Int.random(in: 0..<3, using: &random) == 0,
                    isReplica: Int.random(in: 0..<4, using: &random) == 0
                )
            }
            let element = element(&random, now: try await pair.now())
            let isSame = try await pair.agree(element)
            #expect(isSame, "seed \(seed), step \(step): \(element)")
            for key in Self.keys {
                let (server, model) = try await pair.contents(of: key)
                try #require(server == model, "seed \(seed), step \(step), key \(key): \(element)")
            }
        }
    }

    private func setState(_ pair: Pair, isFull: Bool, isReplica: Bool) async throws {
        // A replica of nobody who answers: it serves what it has, and takes no writes.
        let primary = isReplica ? RedisCommand("REPLICAOF", "127.0.0.1", "1") : RedisCommand("REPLICAOF", "NO", "ONE")
        _ = try await pair.node.send(primary, key: "").get()
        let memory = RedisCommand("CONFIG", "SET", "maxmemory", isFull && !isReplica ? "1" : "0")
        _ = try await pair.node.send(memory, key: "").get()
        pair.model.isFull = isFull && !isReplica
        pair.model.role = isReplica ? .replica : .primary
    }

    private func element(_ random: inout SplitMix64, now: Int64) -> RedisBatch.Element {
        func pick<Element>(_ elements: [Element]) -> Element {
            elements[Int.random(in: 0..<elements.count, using: &random)]
        }
        func script(_ script: KeyspaceScript, _ keys: [String], _ arguments: [RedisArgument]) -> RedisBatch.Element {
            .script(RedisScript(name: script.name, source: script.source), keys: keys, arguments: arguments)
        }
        let generation = pick(Self.generations)
        let place = Int.random(in: 0...1, using: &random)
        let (entity, claim) = (Self.entities[place], Self.claims[place])
        switch Int.random(in: 0..<18, using: &random) {
        case 0: return script(.seedNamespace, [Self.head], [.string(pick(Array(Self.generations.prefix(2))))])
        case 1: return script(.seed, [entity], [.string(pick(Array(Self.generations.prefix(2)))), 86_400_000])
        case 2, 3:
            return script(
                .claim,
                [entity, claim],
                [
                    .string(pick(Array(Self.generations.prefix(2)))), 86_400_000,
                    .string(pick(Array(Self.generations.prefix(2)))), .string(pick(["here", "there"])), 60_000, "5",
                    .string(pick(["1", ""])),
                ]
            )
        case 4: return script(.release, [claim], [.string("\(Self.generations[0]) \(Self.generations[0])  here")])
        case 5, 6, 7:
            let stamp = EntryStamp(
                namespace: Generation(counter: 1, nonce: 1),
                entity: Generation(counter: 1, nonce: 1),
                variant: nil,
                readAt: RedisTime(microseconds: now)
            )
            let entry = EntryCodec.encode(Entry(stamp: stamp, payload: [1, 2, 3]))
            return script(
                .fill,
                [Self.head, entity, claim],
                [
                    .string(Self.generations[0]), .string(Self.generations[0]), .string(pick(["", generation])),
                    .string(pick(["5", "-", "6", "7", "8"])), .bytes(entry),
                    .integer(now + pick([0, 0, -30_000_000, -90_000_000, 90_000_000])), 60_000_000, 86_400_000, 1,
                    .string(pick(["", "\(Self.generations[0]) \(Self.generations[0])  here"])),
                ]
            )
        case 8, 9, 10, 11:
            let entities = pick([[], [entity], Self.entities])
            return script(
                .apply,
                [Self.head, "\(Self.head).gen"] + entities,
                [
                    .string(pick(["", "m1", "m2"])), .string(pick(["", "7/1/a"])), .string(pick(["m1", "m2"])), "7/1/a",
                    .string(pick(["", String(now)])), 5_000, .string(pick(["", "1:1:"])),
                    .string(pick(["0", "0", "1"])),
                    .string(pick(["00000000000000aa", "00000000000000bb"])), 86_400_000, .integer(pick([1, 64])),
                    .string(pick(["", "", Self.hintMarks[0], Self.hintMarks[1]])),
                ] + entities.map { _ in .string(pick(["*", "5", "-,5", "6,7"])) }
            )
        case 12, 13:
            let entities = pick([[], [entity], Self.entities])
            return script(
                .hint,
                [Self.head] + entities,
                [
                    .string(pick([""] + Self.hintMarks)), .string(pick(Self.hintMarks)), .string(pick(Self.hintMarks)),
                    .string(pick(["00000000000000aa", "00000000000000bb"])), 86_400_000, .integer(pick([1, 64])),
                ] + entities.map { _ in .string(pick(["*", "5", "-,5", "6,7"])) }
            )
        case 14:
            return .command(
                RedisCommand(
                    "HSET",
                    .string(pick([entity, Self.head])),
                    .string(pick(["g", "gen", "e:5", "mark"])),
                    .string(generation)
                )
            )
        case 15: return .command(RedisCommand("SET", .string(pick([entity, Self.head, claim])), "poison"))
        case 16: return .command(RedisCommand("UNLINK", .string(pick(Self.keys))))
        default:
            return .command(
                RedisCommand("HMGET", .string(pick([entity, Self.head])), "g", "gen", "mark", "e:5", "g:5")
            )
        }
    }
}
