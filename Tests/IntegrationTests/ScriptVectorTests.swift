import Foundation
import Keyspace
import Redis
import Testing

/// The scripts among the vectors for implementers in other languages, on a real Redis.
struct ScriptVectorTests {
    private struct Vectors: Decodable {
        struct Script: Decodable {
            var script, about: String
            var prior: [String: Content]
            var keys, arguments: [String]
            var answer: Answer
            var after: [String: Content]
            var expires: [String]
        }

        var scripts: [Script]
    }

    /// What a key holds.
    private enum Content: Decodable, Equatable {
        case text(String)
        case hash([String: String])

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let text = try? container.decode(String.self) {
                self = .text(text)
            } else {
                self = .hash(try container.decode([String: String].self))
            }
        }
    }

    private enum Answer: Decodable, Equatable {
        case text(String)
        case number(Int64)
        case list([Answer])

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let text = try? container.decode(String.self) {
                self = .text(text)
            } else if let number = try? container.decode(Int64.self) {
                self = .number(number)
            } else {
                self = .list(try container.decode([Answer].self))
            }
        }

        init?(_ reply: RedisReply) {
            switch reply {
            case .bulk, .simple:
                guard let text = reply.string else { return nil }
                self = .text(text)
            case .integer(let number): self = .number(number)
            case .array(let elements): self = .list(elements.compactMap(Answer.init))
            case .null, .error: return nil
            }
        }
    }

    /// A Redis that a vector has for itself.
    private struct Server {
        let node: RedisNode

        @discardableResult
        func command(_ words: String...) async throws -> RedisReply {
            let arguments = words.dropFirst().map { RedisArgument.string($0) }
            return try await node.send(RedisCommand(words[0], arguments: arguments), key: "").get()
        }

        func place(_ contents: [String: Content]) async throws {
            for (key, content) in contents {
                switch content {
                case .text(let text): try await command("SET", key, text)
                case .hash(let fields):
                    for (field, value) in fields { try await command("HSET", key, field, value) }
                }
            }
        }

        func contents() async throws -> [String: Content] {
            var contents: [String: Content] = [:]
            for key in try #require(try await command("KEYS", "*").array).compactMap(\.string) {
                if try await command("TYPE", key).string == "hash" {
                    let parts = try #require(try await command("HGETALL", key).array).compactMap(\.string)
                    let pairs = stride(from: 0, to: parts.count, by: 2).map { (parts[$0], parts[$0 + 1]) }
                    contents[key] = .hash(Dictionary(uniqueKeysWithValues: pairs))
                } else {
                    contents[key] = .text(try #require(try await command("GET", key).string))
                }
            }
            return contents
        }

        /// The argument as it is sent: `$now`, with or without an offset in microseconds, stands for the server's time.
        func argument(_ text: String) async throws -> RedisArgument {
            guard text.hasPrefix("$now") else { return .string(text) }
            let now = try #require(try await command("TIME").serverTimeInMicroseconds)
            return .integer(now + (Int64(text.dropFirst(4)) ?? 0))
        }
    }

    private static let scripts: [KeyspaceScript] = [.seedNamespace, .seed, .claim, .release, .fill, .apply, .hint]

    @Test func `every script does what the vectors say`() async throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let file = root.appending(path: "Sources/Freshet/Freshet.docc/Resources/keyspace-vectors.json")
        let vectors = try JSONDecoder().decode(Vectors.self, from: Data(contentsOf: file))
        #expect(Set(vectors.scripts.map(\.script)) == Set(Self.scripts.map(\.name)))
        try await RedisNode.withOwnServer { node in
            for vector in vectors.scripts { try await check(vector, on: Server(node: node)) }
        }
    }

    private func check(_ vector: Vectors.Script, on server: Server) async throws {
        let about: Comment = "\(vector.script): \(vector.about)"
        let script = try #require(Self.scripts.first { $0.name == vector.script }, about)
        try await server.command("FLUSHALL")
        try await server.place(vector.prior)
        var arguments: [RedisArgument] = []
        for text in vector.arguments { arguments.append(try await server.argument(text)) }
        var batch = RedisBatch(key: vector.keys[0])
        batch.append(RedisScript(name: script.name, source: script.source), keys: vector.keys, arguments: arguments)
        let reply = try #require(try await server.node.send([batch]).first?.first, about)
        #expect(Answer(reply) == vector.answer, "\(about): \(reply)")
        #expect(try await server.contents() == vector.after, about)
        for key in vector.after.keys {
            let remaining = try #require(try await server.command("PTTL", key).int64)
            #expect((remaining > 0) == vector.expires.contains(key), "\(about): \(key) in \(remaining) ms")
        }
    }
}
