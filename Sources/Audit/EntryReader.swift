import Keyspace
import Redis

/// Reads entries with all that guards them, each bucket's in one transaction.
struct EntryReader: Sendable {
    let redis: any RedisClient
    let namespace: CacheNamespace

    /// A reading of each entry, in the same order.
    func read(_ names: [EntryName]) async throws -> [EntryReading] {
        let places = Dictionary(grouping: names.indices) { namespace.bucket(of: names[$0].entity) }
            .sorted { $0.key < $1.key }
        let batches = places.map { bucket, places in batch(bucket: bucket, places.map { names[$0] }) }
        var answers = try await redis.send(batches)
        // A full Redis queues nothing for a transaction. Without one, the head is read once more behind the entries, and counts
        // only where it is the same: then no pass came in between.
        for (index, answer) in answers.enumerated() where answer.first?.error?.code == .outOfMemory {
            let commands = batches[index].commands
            let plain = RedisBatch(key: batches[index].key, commands: commands + commands.prefix(1))
            let again = try await redis.send([plain])
            answers[index] = again.first?.dropLast() ?? []
            if again.first?.first != again.first?.last { answers[index][0] = .array([]) }
        }
        var readings = [EntryReading?](repeating: nil, count: names.count)
        for ((_, places), answer) in zip(places, answers) {
            guard answer.count == places.count + 2 else {
                throw AuditError.unexpectedReply("EXEC", "\(answer.count) elements")
            }
            let head = try Self.head(answer[0])
            guard let time = try answer[1].get().serverTimeInMicroseconds else {
                throw AuditError.unexpectedReply("TIME", answer[1])
            }
            for (place, reply) in zip(places, answer.dropFirst(2)) {
                readings[place] = try Self.reading(reply, head, RedisTime(microseconds: time))
            }
        }
        return readings.compactMap(\.self)
    }

    private func batch(bucket: Int, _ names: [EntryName]) -> RedisBatch {
        let key = namespace.headKey(bucket: bucket)
        let head = ([key] + Head.readerFields + [Head.snapshotField]).map { RedisArgument.string($0) }
        var commands = [RedisCommand("HMGET", arguments: head), RedisCommand("TIME")]
        for name in names {
            let variant = name.variant.text
            commands.append(
                RedisCommand("HMGET", .string(namespace.key(of: name.entity)), "g", "g:\(variant)", "e:\(variant)")
            )
        }
        return RedisBatch(key: key, commands: commands, isTransaction: true)
    }

    private static func head(_ reply: RedisReply) throws -> Head {
        // Something else lies under the key; the worker removes it. For a reader that is no head.
        if reply.error?.code == .wrongType { return .absent }
        return Head(fields: (try reply.get().array ?? []).map(\.string))
    }

    private static func reading(_ reply: RedisReply, _ head: Head, _ time: RedisTime) throws -> EntryReading {
        var reading = EntryReading(
            generations: Generations(namespace: head.generation, entity: nil, variant: nil),
            content: .absent,
            head: head,
            time: time
        )
        if reply.error?.code == .wrongType {
            reading.content = .damaged
            return reading
        }
        guard let fields = try reply.get().array, fields.count == 3 else {
            throw AuditError.unexpectedReply("HMGET", reply)
        }
        reading.generations.entity = fields[0].bytes.flatMap { Generation(utf8: $0) }
        reading.generations.variant = fields[1].bytes.flatMap { Generation(utf8: $0) }
        guard let bytes = fields[2].bytes else { return reading }
        reading.size = bytes.count
        // A variant's generation that nobody can read: readers take the entry for damaged.
        let isReadable = fields[1].isNull || reading.generations.variant != nil
        do throws(EntryDamage) {
            let entry = try EntryCodec.decode(bytes)
            reading.content = isReadable ? .entry(entry) : .damaged
        } catch {
            (reading.content, reading.damage) = (.damaged, error)
        }
        return reading
    }
}
