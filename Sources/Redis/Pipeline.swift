// From batches to commands on the wire and back. Pure, so that every shape of reply can be tested without a server.
//
// A script whose hash is not known yet is sent as EVAL, which also caches it in the server, behind one SCRIPT LOAD for
// each such text in the pipeline, whose reply tells the hash. From then on it goes as EVALSHA. A server that was
// restarted replies NOSCRIPT: those calls, in their order, make a second pipeline of EVAL. Everything else of the first
// pipeline has been executed by then, so whoever needs a script to run before its neighbours must not rely on that.

/// The commands of one `send`, and how their replies are put together again.
struct Pipeline {
    /// The replies of all batches, as far as they are known.
    struct Outcome: Equatable {
        var replies: [[RedisReply]]
        /// Hashes of scripts.
        var learned: [RedisScript: String] = [:]
        /// The scripts that the server did not know.
        var unknown: [Address] = []
    }

    /// One element of the batches.
    struct Address: Equatable {
        var batch: Int
        var element: Int
    }

    private enum Part {
        /// One reply of SCRIPT LOAD for this script.
        case load(RedisScript)
        /// One reply for each element of a batch.
        case plain(elements: Int)
        /// MULTI, one QUEUED for each element of a batch, EXEC.
        case transaction(elements: Int)
    }

    private var parts: [Part] = []
    private(set) var commands: [RedisCommand] = []

    init(_ batches: [RedisBatch], hash: (RedisScript) -> String?) {
        var hashes: [RedisScript: String?] = [:]
        parts.reserveCapacity(batches.count)
        commands.reserveCapacity(batches.reduce(0) { $0 + $1.commands.count + ($1.isTransaction ? 2 : 0) })
        for batch in batches {
            // In front of the batch, so that its own replies stay together.
            if batch.hasScript {
                for case .script(let script, _, _) in batch.commands where hashes[script] == nil {
                    let known = hash(script)
                    hashes.updateValue(known, forKey: script)
                    if known == nil {
                        commands.append(RedisCommand("SCRIPT", "LOAD", .string(script.source)))
                        parts.append(.load(script))
                    }
                }
            }
            let isTransaction = batch.isTransaction && !batch.commands.isEmpty
            if isTransaction {
                commands.append(.multi)
            }
            for element in batch.commands {
                switch element {
                case .command(let command):
                    commands.append(command)
                case .script(let script, let keys, let arguments):
                    precondition(!isTransaction, "script \(script.name) is in a transaction")
                    if let hash = hashes[script] ?? nil {
                        commands.append(RedisCommand("EVALSHA", hash, keys: keys, arguments: arguments))
                    } else {
                        commands.append(RedisCommand("EVAL", script.source, keys: keys, arguments: arguments))
                    }
                }
            }
            if isTransaction {
                commands.append(.exec)
                parts.append(.transaction(elements: batch.commands.count))
            } else {
                parts.append(.plain(elements: batch.commands.count))
            }
        }
    }

    /// Puts the replies to `commands` together.
    ///
    /// - Throws: ``RedisError`` if they cannot be the replies to these commands.
    func outcome(of replies: [RedisReply], batches: [RedisBatch]) throws(RedisError) -> Outcome {
        guard replies.count == commands.count else {
            throw RedisError(.protocolViolation, "\(replies.count) replies to \(commands.count) commands")
        }
        if parts.count == 1, case .plain = parts[0], !Self.isAnyUnknown(replies) {
            return Outcome(replies: [replies])
        }
        if parts.count == 1, case .transaction = parts[0] {
            return Outcome(replies: [try Self.flattened(replies[...])])
        }
        var rest = replies[...]
        var outcome = Outcome(replies: [])
        outcome.replies.reserveCapacity(batches.count)
        for part in parts {
            switch part {
            case .load(let script):
                // An error here is no loss: without a hash, the text is sent the next time as well.
                if let hash = rest.removeFirst().string, hash.utf8.count == 40 {
                    outcome.learned[script] = hash
                }
            case .plain(let count):
                let own = Array(rest.prefix(count))
                rest = rest.dropFirst(count)
                let batch = outcome.replies.count
                for (element, reply) in own.enumerated() where reply.error?.code == .noScript {
                    if case .script = batches[batch].commands[element] {
                        outcome.unknown.append(Address(batch: batch, element: element))
                    }
                }
                outcome.replies.append(own)
            case .transaction(let count):
                let own = rest.prefix(count + 2)
                rest = rest.dropFirst(count + 2)
                outcome.replies.append(try Self.flattened(own))
            }
        }
        return outcome
    }

    private static func isAnyUnknown(_ replies: [RedisReply]) -> Bool {
        replies.contains { $0.error?.code == .noScript }
    }

    /// The calls of scripts with their text, for those that the server did not know.
    static func resending(_ unknown: [Address], of batches: [RedisBatch]) -> [RedisCommand] {
        unknown.map { address in
            switch batches[address.batch].commands[address.element] {
            case .script(let script, let keys, let arguments):
                RedisCommand("EVAL", script.source, keys: keys, arguments: arguments)
            case .command(let command):
                command
            }
        }
    }

    /// The replies to a transaction's commands, out of those to MULTI, the commands and EXEC.
    private static func flattened(_ replies: ArraySlice<RedisReply>) throws(RedisError) -> [RedisReply] {
        let begin = replies.first ?? .null
        let end = replies.last ?? .null
        let queued = replies.dropFirst().dropLast()
        let refusal: RedisServerError
        switch end {
        case .array(let results):
            guard results.count == queued.count else {
                throw RedisError(
                    .protocolViolation,
                    "EXEC replied with \(results.count) results to \(queued.count) commands"
                )
            }
            return Array(results)
        case .null:
            refusal = RedisServerError(
                code: .transactionAborted,
                message: "Transaction discarded: a watched key changed."
            )
        case .error(let error):
            // Without MULTI there was no transaction: its own error says why, EXEC's only that it was missing.
            refusal = begin.error ?? error
        case .simple, .bulk, .integer:
            throw RedisError(.protocolViolation, "EXEC replied with neither an array nor an error")
        }
        // The command that spoiled it keeps its own error, so that the cause is among the replies.
        return queued.map { .error($0.error ?? refusal) }
    }
}

extension RedisCommand {
    // Made once, because every transaction has both.
    fileprivate static let multi = RedisCommand("MULTI")
    fileprivate static let exec = RedisCommand("EXEC")

    fileprivate init(_ name: String, _ script: String, keys: [String], arguments: [RedisArgument]) {
        self.init(name, .string(script), .integer(Int64(keys.count)))
        for key in keys {
            append(.string(key))
        }
        for argument in arguments {
            append(argument)
        }
    }
}
