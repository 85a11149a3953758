// The scripts of the contract, written out again. Where a script says `call`, an error ends it; where it says `pcall`, it goes on.

import Keyspace
import Redis

extension RedisModel {
    func run(_ name: String, _ keys: [String], _ arguments: [[UInt8]]) -> RedisReply {
        switch name {
        case "seed-namespace": return seedNamespace(keys[0], arguments[0])
        case "seed": return seed(keys[0], arguments)
        case "claim": return claim(keys, arguments)
        case "release": return release(keys, arguments)
        case "fill": return fill(keys, arguments)
        case "apply": return apply(keys, arguments)
        case "hint": return hint(keys, arguments)
        default: preconditionFailure("the model does not know the script \(name)")
        }
    }

    /// As the scripts' own: a readable generation, no longer than one can be.
    private static func isWellFormed(_ bytes: [UInt8]?) -> Bool {
        guard let bytes, bytes.count >= 18, bytes.count <= 33, bytes[0] != UInt8(ascii: "0") else { return false }
        let dot = bytes.count - 17
        guard bytes[dot] == UInt8(ascii: ".") else { return false }
        return bytes[..<dot].allSatisfy { (0x30...0x39).contains($0) }
            && bytes[(dot + 1)...].allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }

    private func seedNamespace(_ key: String, _ generation: [UInt8]) -> RedisReply {
        var mayGrow = refusal(mayGrow: true)
        if isHash(key) == false {
            if role == .replica { return .error(Self.readOnly) }
            unlink(key)
            mayGrow = nil
        }
        if !Self.isWellFormed(hget(key, "gen")) {
            if let mayGrow { return .error(mayGrow) }
            hset(key, "gen", flawed(generation))
        }
        return hget(key, "gen").map { .bulk($0) } ?? .null
    }

    /// Gives an entity its generation; nil where it cannot.
    private func seededEntity(
        _ key: String,
        _ generation: [UInt8],
        _ timeToLive: Int64
    ) -> Result<[UInt8], RedisServerError> {
        if isHash(key) == true, let current = hget(key, "g"), Self.isWellFormed(current) { return .success(current) }
        if role == .replica { return .failure(Self.readOnly) }
        // What has been unlinked lets the writes behind it pass.
        if !unlink(key), let refusal = refusal(mayGrow: true) { return .failure(refusal) }
        let generation = flawed(generation)
        if flaws.contains(.seedAtTheFill) { return .success(generation) }
        hset(key, "g", generation)
        expire(key, after: timeToLive)
        return .success(generation)
    }

    private func seed(_ key: String, _ arguments: [[UInt8]]) -> RedisReply {
        switch seededEntity(key, arguments[0], number(arguments[1])) {
        case .success(let generation): .bulk(generation)
        case .failure(let error): .error(error)
        }
    }

    private func claim(_ keys: [String], _ arguments: [[UInt8]]) -> RedisReply {
        let entity: [UInt8]
        var mayGrow = refusal(mayGrow: true)
        let before = dataset.entries[keys[0]]
        switch seededEntity(keys[0], arguments[0], number(arguments[1])) {
        case .success(let generation): entity = generation
        case .failure(let error): return .error(error)
        }
        // Only the first write of a script is checked.
        if dataset.entries[keys[0]] != before, role == .primary { mayGrow = nil }

        var answer: [RedisReply] = [.bulk(entity)]
        for index in 1..<keys.count {
            let name = text(arguments[2 * index + 3])
            let variant = hget(keys[0], "g:" + name) ?? []
            let entry = arguments[2 * index + 4] == [UInt8(ascii: "1")] ? hget(keys[0], "e:" + name) : nil
            let guardText = arguments[2] + [0x20] + entity + [0x20] + variant + [0x20]
            let own = guardText + arguments[3]
            var held: [UInt8]?
            if case .text(let text)? = live(keys[index])?.content { held = text }
            var verdict = "mine"
            if let entry, Self.isWellFormed(arguments[2]), variant.isEmpty || Self.isWellFormed(variant),
                entry.count >= 50,
                entry[2..<50].elementsEqual(
                    Self.stampBytes(arguments[2]) + Self.stampBytes(entity) + Self.stampBytes(variant)
                )
            {
                verdict = "held"
            } else if let held, held != own, held.starts(with: guardText) {
                verdict = "held"
            } else if mayGrow == nil {
                set(keys[index], own, for: number(arguments[4]))
            }
            answer.append(.bulk(variant))
            answer.append(.bulk(Array(verdict.utf8)))
        }
        return .array(answer)
    }

    /// A generation as it stands in an entry.
    private static func stampBytes(_ generation: [UInt8]) -> [UInt8] {
        var writer = ByteWriter(capacity: 16)
        let parsed = Generation(utf8: generation)
        writer.write(parsed?.counter ?? 0)
        writer.write(parsed?.nonce ?? 0)
        return writer.bytes
    }

    private func release(_ keys: [String], _ arguments: [[UInt8]]) -> RedisReply {
        var count: Int64 = 0
        for (key, own) in zip(keys, arguments) {
            guard case .text(let held)? = live(key)?.content, held == own else { continue }
            if role == .replica { return .error(Self.readOnly) }
            unlink(key)
            count += 1
        }
        return .integer(count)
    }

    private func fill(_ keys: [String], _ arguments: [[UInt8]]) -> RedisReply {
        let answer = filled(keys, arguments)
        if !arguments[9].isEmpty, case .text(let held)? = live(keys[2])?.content, held == arguments[9] {
            if role == .replica { return .error(Self.readOnly) }
            unlink(keys[2])
        }
        return answer
    }

    private func filled(_ keys: [String], _ arguments: [[UInt8]]) -> RedisReply {
        func outcome(_ outcome: FillOutcome) -> RedisReply { .bulk(Array(outcome.rawValue.utf8)) }
        // Each key is looked at when the script comes to it.
        if isHash(keys[0]) == false { return .error(Self.wrongType) }
        let name = text(arguments[3])
        if flaws.contains(.seedAtTheFill), hget(keys[1], "g") == nil { hset(keys[1], "g", arguments[1]) }
        if !flaws.contains(.fillTakesCurrentNamespace), hget(keys[0], "gen") != arguments[0] {
            return outcome(.namespace)
        }
        if isHash(keys[1]) == false { return .error(Self.wrongType) }
        if !flaws.contains(.fillTakesCurrentEntity), hget(keys[1], "g") != arguments[1] { return outcome(.entity) }
        if !flaws.contains(.fillTakesCurrentVariant), hget(keys[1], "g:" + name) ?? [] != arguments[2] {
            return outcome(.variant)
        }
        let age = time() - number(arguments[5])
        if age < 0 || age > number(arguments[6]) { return outcome(.late) }
        let field = "e:" + name
        if !flaws.contains(.fillWithoutLimit), case .hash(let fields)? = live(keys[1])?.content,
            fields.count > 3 * Int(number(arguments[8])), !fields.contains(where: { $0.name == field })
        {
            return outcome(.crowded)
        }
        if let refusal = refusal(mayGrow: true) { return .error(refusal) }
        hset(keys[1], field, flawedEntry(arguments[4], keys, name))
        expire(keys[1], after: number(arguments[7]))
        return outcome(.stored)
    }

    private func apply(_ keys: [String], _ arguments: [[UInt8]]) -> RedisReply {
        if role == .replica { return .error(Self.readOnly) }
        let head = keys[0]
        if isHash(head) == false { unlink(head) } else { hdel(head, "-") }
        func signature(_ field: String) -> [UInt8] {
            guard let bytes = hget(head, field), bytes.allSatisfy({ (0x20...0x7E).contains($0) }) else { return [] }
            return bytes
        }
        let (mark, postgres) = (signature("mark"), signature("pg"))
        let isFirst = !arguments[0].contains(UInt8(ascii: "+"))
        if (mark != arguments[0] && !flaws.contains(.applyIgnoresMark)
            && !(flaws.contains(.markComparedOncePerBatch) && !isFirst))
            || postgres != arguments[1]
        {
            return .array([.bulk(Array("fenced".utf8)), .bulk(mark), .bulk(postgres)])
        }
        if !arguments[11].isEmpty, !flaws.contains(.hintMarkNotCompared),
            !hasReached(arguments[11], hget(head, "hinted"))
        {
            return .array([.bulk(Array("fenced".utf8)), .bulk(mark), .bulk(postgres)])
        }
        let nonce = arguments[8]
        let counts = bump(keys[2...], arguments[12...], nonce, number(arguments[9]), number(arguments[10]))
        var generation = hget(head, "gen")
        if arguments[7] == [UInt8(ascii: "1")] || generation == nil {
            let next = raised(generation, nonce)
            generation = next
            hset(head, "gen", next)
            if !flaws.contains(.bumpIsNotTold) { set(keys[1], next, for: nil) }
        }
        if postgres != arguments[3], !flaws.contains(.snapshotOutlivesItsPostgres) { hdel(head, "snapshot") }
        hset(head, "mark", arguments[2])
        hset(head, "pg", arguments[3])
        hset(head, "lease", arguments[5])
        if !arguments[4].isEmpty {
            hset(head, "vouched", flaws.contains(.vouchesForTheScriptsTime) ? Array(String(time()).utf8) : arguments[4])
        }
        if !arguments[6].isEmpty { hset(head, "snapshot", arguments[6]) }
        return .array([
            .bulk(Array("applied".utf8)), .bulk(generation ?? []), .integer(counts.entities),
            .integer(counts.variants), .integer(counts.absent), .integer(counts.damaged),
        ])
    }

    private func hint(_ keys: [String], _ arguments: [[UInt8]]) -> RedisReply {
        if role == .replica { return .error(Self.readOnly) }
        let head = keys[0]
        if isHash(head) == false { return .error(Self.wrongType) }
        hdel(head, "-")
        let counts = bump(keys[1...], arguments[6...], arguments[3], number(arguments[4]), number(arguments[5]))
        var mark = arguments[2]
        if !arguments[0].isEmpty, hget(head, "hinted") == arguments[0] || flaws.contains(.hintChainNeverBroken) {
            mark = arguments[1]
        }
        hset(head, "hinted", mark)
        return .array([
            .bulk(mark), .integer(counts.entities), .integer(counts.variants), .integer(counts.absent),
            .integer(counts.damaged),
        ])
    }

    /// Whether the mark of a chain is that or a later one.
    private func hasReached(_ least: [UInt8], _ mark: [UInt8]?) -> Bool {
        let (known, found) = (least.split(separator: 0x20), (mark ?? []).split(separator: 0x20))
        guard found.count == 2, found[0] == known[0] else { return false }
        return number(Array(found[1])) >= number(Array(known[1]))
    }

    /// What the scripts share that bump: what became of the entities.
    private func bump(
        _ keys: ArraySlice<String>,
        _ specs: ArraySlice<[UInt8]>,
        _ nonce: [UInt8],
        _ timeToLive: Int64,
        _ variantsPerEntity: Int64
    ) -> (entities: Int64, variants: Int64, absent: Int64, damaged: Int64) {
        let limit = 2 * Int(variantsPerEntity)
        var (entities, variants, absent, damaged): (Int64, Int64, Int64, Int64) = (0, 0, 0, 0)
        for (key, spec) in zip(keys, specs) {
            if isHash(key) == false {
                unlink(key)
                damaged += 1
                continue
            }
            guard let current = hget(key, "g") else {
                absent += 1
                continue
            }
            let names = spec.split(separator: UInt8(ascii: ",")).map { String(decoding: $0, as: UTF8.self) }
            var count = 0
            if case .hash(let fields)? = live(key)?.content { count = fields.count }
            if spec == [UInt8(ascii: "*")] || count + names.count > limit {
                if flaws.contains(.bumpDeletes) {
                    // The entries go, the generation stays.
                    unlink(key)
                    hset(key, "g", current)
                } else {
                    unlink(key)
                    hset(key, "g", raised(current, nonce))
                }
                expire(key, after: timeToLive)
                entities += 1
            } else {
                for name in names {
                    hdel(key, "e:" + name)
                    if !flaws.contains(.bumpDeletes) {
                        hset(key, "g:" + name, raised(hget(key, "g:" + name), nonce))
                    }
                    variants += 1
                }
            }
        }
        return (entities, variants, absent, damaged)
    }

    private func raised(_ current: [UInt8]?, _ nonce: [UInt8]) -> [UInt8] {
        let digits = current.map { $0.prefix { (0x30...0x39).contains($0) } } ?? []
        var counter = digits.isEmpty ? 0 : UInt64(text(Array(digits))) ?? .max
        // From 2^53 on a double no longer counts by one.
        if counter >= 9_007_199_254_740_992 { counter = 0 }
        return flawed(Array("\(counter + 1).".utf8) + nonce)
    }

    private func number(_ bytes: [UInt8]) -> Int64 {
        var value: Int64 = 0
        for byte in bytes where (0x30...0x39).contains(byte) { value = value &* 10 &+ Int64(byte & 15) }
        return bytes.first == UInt8(ascii: "-") ? -value : value
    }

    // MARK: Flaws

    /// A generation without what makes it unique, where that is the flaw.
    private func flawed(_ generation: [UInt8]) -> [UInt8] {
        guard flaws.contains(.generationsWithoutNonce) || flaws.contains(.generationsFromTheClock) else {
            return generation
        }
        let dot = generation.firstIndex(of: UInt8(ascii: ".")) ?? generation.endIndex
        var counter = Array(generation[..<dot])
        // A clock in seconds, as somebody would take it who wants a counter to survive a restart.
        if flaws.contains(.generationsFromTheClock), counter == [UInt8(ascii: "1")] {
            counter = Array(String(time() / 1_000_000).utf8)
        }
        return counter + Array(".0000000000000000".utf8)
    }

    /// An entry that says something else than what was read before its load, where that is the flaw.
    private func flawedEntry(_ bytes: [UInt8], _ keys: [String], _ name: String) -> [UInt8] {
        let all: Flaws = [
            .fillTimeAtTheFill, .fillTakesCurrentNamespace, .fillTakesCurrentEntity, .fillTakesCurrentVariant,
        ]
        guard !flaws.isDisjoint(with: all), let entry = try? EntryCodec.decode(bytes) else { return bytes }
        var stamp = entry.stamp
        func current(_ key: String, _ field: String) -> Generation? {
            hget(key, field).flatMap { Generation(utf8: $0) }
        }
        if flaws.contains(.fillTimeAtTheFill) { stamp.readAt = RedisTime(microseconds: time()) }
        if flaws.contains(.fillTakesCurrentNamespace) { stamp.namespace = current(keys[0], "gen") ?? stamp.namespace }
        if flaws.contains(.fillTakesCurrentEntity) { stamp.entity = current(keys[1], "g") ?? stamp.entity }
        if flaws.contains(.fillTakesCurrentVariant) { stamp.variant = current(keys[1], "g:" + name) }
        return EntryCodec.encode(Entry(stamp: stamp, payload: entry.payload))
    }
}
