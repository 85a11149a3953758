// A Redis server, as far as Freshet uses one: the commands that it sends, its scripts written out again in Swift, the client-side
// caching that the near cache relies on, expiry, a clock that can be set, and what a full server or a replica refuses.
//
// It is held to the real server by RedisModelTests: the same commands, the same replies, the same keys afterwards.

import Keyspace
package import Redis

/// One Redis server.
///
/// Not thread-safe: it belongs to the one thread that runs the simulation.
package final class RedisModel {
    package enum Role { case primary, replica }

    package var dataset = RedisDataset()
    package var role = Role.primary
    /// Neither evicts nor takes anything new.
    package var isFull = false
    package let flaws: Flaws
    /// Is told of each key that has changed or is gone; nil is every key.
    var changed: (String?) -> Void = { _ in }
    /// The time by the server's clock, in microseconds.
    package var time: () -> Int64

    package init(flaws: Flaws = [], time: @escaping () -> Int64) {
        self.flaws = flaws
        self.time = time
    }

    // MARK: Commands

    /// What a command is answered with.
    ///
    /// - Parameter read: Is told of the keys that it reads.
    package func execute(_ element: RedisBatch.Element, read: (String) -> Void = { _ in }) -> RedisReply {
        switch element {
        case .script(let script, let keys, let arguments):
            return run(script.name, keys, arguments.map(\.modelBytes))
        case .command(let command):
            let words = command.arguments
            return execute(words, read: read)
        }
    }

    private func execute(_ words: [[UInt8]], read: (String) -> Void) -> RedisReply {
        let name = String(decoding: words[0], as: UTF8.self)
        switch name {
        case "TIME":
            let time = time()
            return .array([.bulk(Array(String(time / 1_000_000).utf8)), .bulk(Array(String(time % 1_000_000).utf8))])
        case "HMGET":
            let key = text(words[1])
            // First it expires, which whoever read it before is told; then this read counts.
            let content = live(key)?.content
            read(key)
            switch content {
            case .text: return .error(Self.wrongType)
            case nil: return .array(words.dropFirst(2).map { _ in .null })
            case .hash(let fields):
                return .array(
                    words.dropFirst(2).map { word in
                        let name = text(word)
                        return fields.first { $0.name == name }.map { .bulk($0.value) } ?? .null
                    }
                )
            }
        case "GET":
            let key = text(words[1])
            let content = live(key)?.content
            read(key)
            switch content {
            case .text(let bytes): return .bulk(bytes)
            case .hash: return .error(Self.wrongType)
            case nil: return .null
            }
        case "CLIENT": return .simple("OK")
        case "HSET":
            if let refusal = refusal(mayGrow: true) { return .error(refusal) }
            return hset(text(words[1]), text(words[2]), words[3])
        case "HDEL":
            if let refusal = refusal(mayGrow: false) { return .error(refusal) }
            return hdel(text(words[1]), text(words[2]))
        case "UNLINK":
            if let refusal = refusal(mayGrow: false) { return .error(refusal) }
            return .integer(unlink(text(words[1])) ? 1 : 0)
        case "SET":
            if let refusal = refusal(mayGrow: true) { return .error(refusal) }
            set(text(words[1]), words[2], for: words.count > 4 ? Int64(text(words[4])) : nil)
            return .simple("OK")
        case "PEXPIRE":
            if let refusal = refusal(mayGrow: false) { return .error(refusal) }
            return .integer(expire(text(words[1]), after: Int64(text(words[2])) ?? 0) ? 1 : 0)
        default:
            preconditionFailure("the model does not know \(name)")
        }
    }

    /// Why a transaction is not taken; nil where it is.
    package var transactionRefusal: RedisServerError? { isFull ? Self.outOfMemory : nil }

    // MARK: What commands and scripts do

    static let wrongType = RedisServerError(
        code: .wrongType,
        message: "Operation against a key holding the wrong kind of value"
    )
    static let outOfMemory = RedisServerError(
        code: .outOfMemory,
        message: "command not allowed when used memory > 'maxmemory'."
    )
    static let readOnly = RedisServerError(code: .readOnly, message: "You can't write against a read only replica.")

    /// Why a write is refused; nil where it is not.
    func refusal(mayGrow: Bool) -> RedisServerError? {
        if role == .replica { return Self.readOnly }
        return isFull && mayGrow ? Self.outOfMemory : nil
    }

    func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    /// What a key holds, unless it has expired.
    func live(_ key: String) -> RedisDataset.Entry? {
        guard let entry = dataset.entries[key] else { return nil }
        guard let expires = entry.expires, expires <= time() else { return entry }
        // A replica leaves it to its primary, and shows nothing.
        if role == .primary {
            dataset.entries[key] = nil
            changed(key)
        }
        return nil
    }

    func hget(_ key: String, _ name: String) -> [UInt8]? {
        guard case .hash(let fields)? = live(key)?.content else { return nil }
        return fields.first { $0.name == name }?.value
    }

    /// The same, without what a look does to a key that has expired.
    func visibleField(_ key: String, _ name: String) -> [UInt8]? {
        if let expires = dataset.entries[key]?.expires, expires <= time() { return nil }
        return dataset.field(key, name)
    }

    func isHash(_ key: String) -> Bool? {
        switch live(key)?.content {
        case .hash: true
        case .text: false
        case nil: nil
        }
    }

    @discardableResult
    func hset(_ key: String, _ name: String, _ value: [UInt8]) -> RedisReply {
        var entry = live(key) ?? RedisDataset.Entry(content: .hash([]), expires: nil)
        guard case .hash(var fields) = entry.content else { return .error(Self.wrongType) }
        let isNew: Bool
        if let place = fields.firstIndex(where: { $0.name == name }) {
            fields[place].value = value
            isNew = false
        } else {
            fields.append(RedisDataset.Field(name: name, value: value))
            isNew = true
        }
        entry.content = .hash(fields)
        dataset.entries[key] = entry
        changed(key)
        return .integer(isNew ? 1 : 0)
    }

    @discardableResult
    func hdel(_ key: String, _ name: String) -> RedisReply {
        guard var entry = live(key) else { return .integer(0) }
        guard case .hash(var fields) = entry.content else { return .error(Self.wrongType) }
        guard let place = fields.firstIndex(where: { $0.name == name }) else { return .integer(0) }
        fields.remove(at: place)
        entry.content = .hash(fields)
        dataset.entries[key] = fields.isEmpty ? nil : entry
        changed(key)
        return .integer(1)
    }

    @discardableResult
    package func unlink(_ key: String) -> Bool {
        guard live(key) != nil else { return false }
        dataset.entries[key] = nil
        changed(key)
        return true
    }

    func set(_ key: String, _ value: [UInt8], for milliseconds: Int64?) {
        dataset.entries[key] = RedisDataset.Entry(
            content: .text(value),
            expires: milliseconds.map { time() + $0 * 1_000 }
        )
        changed(key)
    }

    @discardableResult
    func expire(_ key: String, after milliseconds: Int64) -> Bool {
        guard live(key) != nil else { return false }
        dataset.entries[key]?.expires = time() + milliseconds * 1_000
        // As Redis does: the key counts as touched.
        changed(key)
        return true
    }

    /// Replaces everything, as a restart from a file or a full resynchronisation does.
    func replace(with dataset: RedisDataset) {
        self.dataset = dataset
        changed(nil)
    }
}

extension RedisArgument {
    /// The argument as the server gets it.
    var modelBytes: [UInt8] {
        switch self {
        case .string(let text): Array(text.utf8)
        case .bytes(let bytes): bytes
        case .integer(let number): Array(String(number).utf8)
        }
    }
}
