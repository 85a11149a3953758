import Keyspace
import Redis
import Surroundings
import Synchronization
import Testing

@testable import Simulation

/// The simulation's Redis is held to a real one: the same commands, the same replies, the same keys afterwards, which live as long, and
/// the same told of those that are watched.
struct RedisModelTests {
    private static let head = "freshet:workflows:{0}"
    private static let entities = ["freshet:workflows:{0}:1", "freshet:workflows:{0}:2"]
    private static let claims = entities.flatMap { ["\($0):c:5", "\($0):c:6", "\($0):c:-"] }
    private static let keys = [head, "\(head).gen"] + entities + claims
    private static let hintMarks = ["00000000000000c1 9", "00000000000000c1 10", "00000000000000c2 1"]
    private static let generations = [
        "1.0000000000000001", "2.00000000000000a2", "9007199254740992.00000000000000ff", "zero", "03.0000000000000001",
        "", "7.garbage", "12", "18446744073709551616.00000000000000ff",
    ]

    @Test func `random commands and scripts do the same to the model and to a real server`() async throws {
        try await RedisNode.withOwnServer { node in
            let told = Told()
            let tracked = try await TrackedConnection.open(try RedisConfiguration(url: node.description)) { event in
                told.add(event)
            }
            for seed in UInt64(1)...60 {
                try await compare(seed: seed, Pair(node: node, tracked: tracked, told: told))
            }
            await tracked.close()
        }
    }

    private func compare(seed: UInt64, _ pair: Pair) async throws {
        var random = SplitMix64(seed: seed)
        try await setState(pair, isFull: false, isReplica: false)
        try await pair.flush()
        _ = try await pair.told()
        for step in 1...40 {
            if Int.random(in: 0..<12, using: &random) == 0 {
                try await setState(
                    pair,
                    isFull: Int.random(in: 0..<3, using: &random) == 0,
                    isReplica: Int.random(in: 0..<4, using: &random) == 0
                )
            }
            let action: String
            let isSame: Bool
            switch Int.random(in: 0..<24, using: &random) {
            case 0 where pair.model.role == .primary:
                action = "FLUSHALL"
                isSame = true
                try await pair.flush()
            case 1...6:
                let commands = watchedCommands(&random, mayWrite: pair.model.role == .primary)
                action = "watched \(commands)"
                isSame = try await pair.agree(watching: commands)
            default:
                let element = element(&random, now: try await pair.now())
                action = "\(element)"
                isSame = try await pair.agree(element)
            }
            #expect(isSame, "seed \(seed), step \(step): \(action)")
            try await pair.expire(Self.keys)
            for key in Self.keys {
                let (server, model) = try await pair.contents(of: key)
                let isLike = server.isLike(model)
                try #require(isLike, "seed \(seed), step \(step), key \(key): \(action): \(server), \(model)")
            }
            let (server, model) = try await pair.told()
            try #require(server == model, "seed \(seed), step \(step), told: \(action)")
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

    // MARK: What is done

    /// A read whose key is watched from then on; sometimes behind a command by which the key is gone in a moment.
    private func watchedCommands(_ random: inout SplitMix64, mayWrite: Bool) -> [RedisCommand] {
        let key = random.pick(Self.keys)
        let read =
            random.chance(oneIn: 2)
            ? RedisCommand("GET", .string(key)) : RedisCommand("HMGET", .string(key), "g", "gen", "e:5")
        // A replica refuses the whole transaction for it, as no reader's ever is.
        guard mayWrite, random.chance(oneIn: 3) else { return [read] }
        return [RedisCommand("PEXPIRE", .string(key), 5), read]
    }

    private func element(_ random: inout SplitMix64, now: Int64) -> RedisBatch.Element {
        func pick<Element>(_ elements: [Element]) -> Element {
            elements[Int.random(in: 0..<elements.count, using: &random)]
        }
        func script(_ script: KeyspaceScript, _ keys: [String], _ arguments: [RedisArgument]) -> RedisBatch.Element {
            .script(RedisScript(name: script.name, source: script.source), keys: keys, arguments: arguments)
        }
        // Lives in ms: far apart, so that none is taken for another, and sometimes over in a moment.
        let life = RedisArgument.integer(pick([86_400_000, 86_400_000, 3_600_000, 3_600_000, 5]))
        let claimLife = RedisArgument.integer(pick([60_000, 60_000, 120_000, 120_000, 5]))
        let generation = pick(Self.generations)
        let entity = pick(Self.entities)
        let claim = "\(entity):c:5"
        switch Int.random(in: 0..<21, using: &random) {
        case 0: return script(.seedNamespace, [Self.head], [.string(pick(Array(Self.generations.prefix(2))))])
        case 1: return script(.seed, [entity], [.string(pick(Array(Self.generations.prefix(2)))), life])
        case 2, 3:
            let variants = pick([["5"], ["5", "-"], ["6", "5", "-"]])
            return script(
                .claim,
                [entity] + variants.map { "\(entity):c:\($0)" },
                [
                    .string(pick(Array(Self.generations.prefix(2)))), life,
                    .string(pick(Array(Self.generations.prefix(2)))), .string(pick(["here", "there"])), claimLife,
                ] + variants.flatMap { variant -> [RedisArgument] in [.string(variant), .string(pick(["1", ""]))] }
            )
        case 4:
            let variants = pick([["5"], ["5", "6"]])
            return script(
                .release,
                variants.map { "\(entity):c:\($0)" },
                variants.map { _ in .string("\(Self.generations[0]) \(Self.generations[0])  here") }
            )
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
                    .integer(now + pick([0, 0, -30_000_000, -90_000_000, 90_000_000])), 60_000_000, life, 1,
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
                    .string(pick(["00000000000000aa", "00000000000000bb"])), life, .integer(pick([1, 64])),
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
                    .string(pick(["00000000000000aa", "00000000000000bb"])), life, .integer(pick([1, 64])),
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
        case 15:
            let key = RedisArgument.string(pick([entity, Self.head, claim]))
            return .command(
                pick([RedisCommand("SET", key, "poison"), RedisCommand("SET", key, "poison", "PX", claimLife)])
            )
        case 16: return .command(RedisCommand("UNLINK", .string(pick(Self.keys))))
        case 17: return .command(RedisCommand("GET", .string(pick(Self.keys))))
        case 18:
            return .command(
                RedisCommand(
                    "HDEL",
                    .string(pick([entity, Self.head, claim])),
                    .string(pick(["g", "gen", "e:5", "g:5"]))
                )
            )
        case 19:
            return .command(
                RedisCommand("PEXPIRE", .string(pick(Self.keys)), .integer(pick([86_400_000, 60_000, 5, 0])))
            )
        default:
            return .command(
                RedisCommand("HMGET", .string(pick([entity, Self.head])), "g", "gen", "mark", "e:5", "g:5")
            )
        }
    }
}

/// What a server tells of the keys that are watched.
private final class Told: Sendable {
    private let keys = Mutex<[String]>([])

    func add(_ event: TrackedConnection.Event) {
        let text =
            switch event {
            case .invalidated(let key): String(decoding: key, as: UTF8.self)
            case .invalidatedEverything: "every key"
            case .lost(let error): "nothing more: \(error)"
            }
        keys.withLock { $0.append(text) }
    }

    /// What was told since the last call.
    func take() -> [String] {
        keys.withLock { keys in
            defer { keys = [] }
            return keys
        }
    }
}

/// What a key holds, and for how long.
private struct Held {
    var content: String
    /// Nil where it does not expire, or is not there.
    var milliseconds: Int64?

    /// Whether another holds the same for as long, but for the time between a look at one and at the other.
    func isLike(_ other: Held) -> Bool {
        guard content == other.content else { return false }
        guard let milliseconds, let others = other.milliseconds else {
            return milliseconds == nil && other.milliseconds == nil
        }
        return abs(milliseconds - others) < 15_000
    }
}

/// A real server and a model, to which everything is done that is done to the other.
private final class Pair {
    let node: RedisNode
    let model: RedisModel
    private let tracked: TrackedConnection
    private let toldByServer: Told
    private let clock: Clock
    /// The keys whose next change the model tells.
    private var watched: Set<String> = []
    private var toldByModel: [String] = []

    /// The clock of the model: what the server's said last.
    private final class Clock { var time: Int64 = 0 }

    init(node: RedisNode, tracked: TrackedConnection, told: Told) {
        self.node = node
        self.tracked = tracked
        toldByServer = told
        let clock = Clock()
        self.clock = clock
        model = RedisModel { clock.time }
        model.changed = { [unowned self] key in tell(key) }
    }

    /// As a server does that tracks keys: each change of a key that was read is told once.
    private func tell(_ key: String?) {
        if let key {
            if watched.remove(key) != nil { toldByModel.append(key) }
        } else {
            watched = []
            toldByModel.append("every key")
        }
    }

    func now() async throws -> Int64 {
        let reply = try await node.send(RedisCommand("TIME"), key: "")
        clock.time = try #require(reply.serverTimeInMicroseconds)
        return clock.time
    }

    // MARK: Doing

    /// Runs one element on both; true where they answered the same.
    func agree(_ element: RedisBatch.Element) async throws -> Bool {
        _ = try await now()
        let real = try #require(try await node.send([RedisBatch(key: "", commands: [element])]).first?.first)
        let modelled = model.execute(element)
        return describe(real) == describe(modelled)
    }

    /// Runs commands on both as a near cache does, so that it is told what becomes of the keys they read; true where they answered
    /// the same.
    func agree(watching commands: [RedisCommand]) async throws -> Bool {
        _ = try await now()
        let watching = [TrackedConnection.trackWhatFollows] + commands
        let batch = RedisBatch(key: "", commands: watching, isTransaction: true)
        let real = try #require(try await tracked.send([batch]).first)
        let modelled = batch.commands.map { element -> RedisReply in
            if let refusal = model.transactionRefusal { return .error(refusal) }
            return model.execute(element) { key in watched.insert(key) }
        }
        return real.map { describe($0) } == modelled.map { describe($0) }
    }

    /// Empties both.
    func flush() async throws {
        _ = try await node.send(RedisCommand("FLUSHALL"), key: "").get()
        model.replace(with: RedisDataset())
    }

    /// Waits until the server has no key any more whose time is over in a moment, and has it expire on the model, too.
    func expire(_ keys: [String]) async throws {
        let node = node
        for key in keys {
            guard let end = model.live(key)?.expires, end < clock.time + 1_000_000 else { continue }
            _ = try await eventually("\(key) to expire", every: .milliseconds(1)) {
                try await node.send(RedisCommand("EXISTS", .string(key)), key: key).int64 == 0 ? true : nil
            }
            let time = try await now()
            #expect(time >= end, "\(key) is gone before its time")
        }
        for key in keys { _ = model.live(key) }
    }

    // MARK: Looking

    /// What the server and the model have told since the last call.
    func told() async throws -> (server: [String], model: [String]) {
        try await tracked.catchUp()
        let told = toldByModel
        toldByModel = []
        return (toldByServer.take().sorted(), told.sorted())
    }

    /// What the server and the model hold.
    func contents(of key: String) async throws -> (server: Held, model: Held) {
        let looks = ["HGETALL", "GET", "PTTL"].map { RedisCommand($0, .string(key)) }
        let replies = try #require(try await node.send([RedisBatch(key: key, commands: looks)]).first)
        let content: String
        if let parts = replies[0].array {
            let fields = stride(from: 0, to: parts.count, by: 2).map { "\(parts[$0])=\(parts[$0 + 1])" }
            content = fields.isEmpty ? "nothing" : fields.sorted().joined(separator: " ")
        } else {
            content = "\(replies[1])"
        }
        let milliseconds = replies[2].int64.flatMap { $0 < 0 ? nil : $0 }
        return (Held(content: content, milliseconds: milliseconds), modelled(key))
    }

    private func modelled(_ key: String) -> Held {
        let entry = model.live(key)
        let content =
            switch entry?.content {
            case .text(let bytes): "\(RedisReply.bulk(bytes))"
            case .hash(let fields):
                fields.map { "\(RedisReply.bulk(Array($0.name.utf8)))=\(RedisReply.bulk($0.value))" }.sorted()
                    .joined(separator: " ")
            case nil: "nothing"
            }
        return Held(content: content, milliseconds: entry?.expires.map { ($0 - clock.time) / 1_000 })
    }

    /// Of an error the code alone: the server says where in a script it happened.
    private func describe(_ reply: RedisReply) -> String {
        switch reply {
        case .error(let error): "error \(error.code)"
        case .array(let elements): "[\(elements.map { describe($0) }.joined(separator: ", "))]"
        default: "\(reply)"
        }
    }
}
