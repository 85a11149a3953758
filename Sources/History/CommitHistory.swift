/// All that writers wrote: which transactions survive, in which order, and what each set was.
public struct CommitHistory: Sendable {
    /// How many transactions ended how.
    public struct Tally: Hashable, Sendable {
        /// Survive, and were acknowledged.
        public var acknowledged = 0
        /// Survive, though nobody was told so.
        public var foundCommitted = 0
        /// Do not survive, and nobody was told that they were committed.
        public var foundMissing = 0
        /// The server said no.
        public var refused = 0
    }

    /// Something that no writer can have done.
    public struct Inconsistent: Error, CustomStringConvertible {
        /// One line.
        public var description: String
    }

    /// By set.
    public private(set) var keys: [HistoryKey: KeyHistory] = [:]
    /// How many transactions ended how.
    public private(set) var tally = Tally()
    /// Acknowledged, and not part of what survives.
    public private(set) var lost: [Transaction] = []
    /// The place of each surviving transaction, by owner.
    private var places: [Int: [UInt64: Int]] = [:]

    /// - Parameters:
    ///   - records: What all writers recorded.
    ///   - heads: The last transaction of each owner, as the database has it at the end, under the owner's lock.
    ///   - readAt: When the heads had been read.
    /// - Throws: ``Inconsistent`` where the database holds a transaction that nobody recorded: a defect of the recording.
    public init(
        records: some Sequence<WriterRecord>,
        heads: [Int: UInt64],
        readAt: Moment,
        keys allKeys: some Sequence<HistoryKey>
    ) throws(Inconsistent) {
        var transactions: [UInt64: Transaction] = [:]
        var acknowledged: [UInt64: Moment] = [:]
        var refused: Set<UInt64> = []
        for record in records {
            switch record {
            case .intent(let transaction): transactions[transaction.id] = transaction
            case .acknowledged(let id, let moment): acknowledged[id] = moment
            case .refused(let id): refused.insert(id)
            }
        }
        for key in allKeys { keys[key] = KeyHistory() }
        var survivors: Set<UInt64> = []
        var chains: [Int: [Transaction]] = [:]
        for (owner, head) in heads {
            let chain = try Self.chain(of: owner, from: head, in: transactions)
            chains[owner] = chain
            survivors.formUnion(chain.map(\.id))
            places[owner] = Dictionary(uniqueKeysWithValues: chain.enumerated().map { ($1.id, $0 + 1) })
            if let liar = chain.first(where: { refused.contains($0.id) }) {
                throw Inconsistent(description: "transaction \(liar.id) was refused, and the database holds it")
            }
            addVersions(of: owner, chain, acknowledged: acknowledged, readAt: readAt)
        }
        let others = transactions.values.filter { !survivors.contains($0.id) && !refused.contains($0.id) }
        for transaction in others.sorted(by: { $0.sent < $1.sent }) {
            if acknowledged[transaction.id] != nil { lost.append(transaction) } else { tally.foundMissing += 1 }
            addVanished(
                transaction,
                acknowledged: acknowledged[transaction.id],
                transactions: transactions,
                chains: chains,
                readAt: readAt
            )
        }
        tally.acknowledged = survivors.count { acknowledged[$0] != nil }
        tally.foundCommitted = survivors.count - tally.acknowledged
        tally.refused = refused.count
    }

    /// The place of a transaction among those of an owner; nil where it does not survive, or changed nothing of the owner.
    public func place(of transaction: UInt64, owner: Int) -> Int? {
        places[owner]?[transaction]
    }

    /// The set that shows best what a transaction wrote that does not survive.
    ///
    /// It is one that the transaction left otherwise than the last surviving one before it, where there is any.
    public func set(lostWith transaction: Transaction) -> HistoryKey? {
        let own = keys.keys.filter { transaction.parents[$0.owner] != nil }.sorted()
        let changed = own.first { key in
            guard let history = keys[key], let vanished = history.vanished(of: transaction.id) else { return false }
            return history.version(before: vanished).value != vanished.value
        }
        return changed ?? own.first
    }

    /// Where an owner's transactions lead to, from the first to the last.
    private static func chain(
        of owner: Int,
        from head: UInt64,
        in transactions: [UInt64: Transaction]
    ) throws(Inconsistent) -> [Transaction] {
        var chain: [Transaction] = []
        var visited: Set<UInt64> = []
        var id = head
        while id != 0 {
            guard let transaction = transactions[id], let parent = transaction.parents[owner] else {
                throw Inconsistent(
                    description: "owner \(owner): the database holds transaction \(id), which nobody recorded"
                )
            }
            guard visited.insert(id).inserted else {
                throw Inconsistent(description: "owner \(owner): transaction \(id) is its own ancestor")
            }
            chain.append(transaction)
            id = parent
        }
        return chain.reversed()
    }

    private mutating func addVersions(
        of owner: Int,
        _ chain: [Transaction],
        acknowledged: [UInt64: Moment],
        readAt: Moment
    ) {
        let own = keys.keys.filter { $0.owner == owner }
        for (index, transaction) in chain.enumerated() {
            // Whoever took the lock next has found it committed.
            let next = index + 1 < chain.count ? chain[index + 1].seen : readAt
            for key in own {
                keys[key]?.append(
                    KeyHistory.Version(
                        transaction: transaction.id,
                        place: index + 1,
                        sent: transaction.sent,
                        known: min(acknowledged[transaction.id] ?? .distantFuture, next),
                        value: transaction.values[key] ?? ""
                    )
                )
            }
        }
    }

    private mutating func addVanished(
        _ transaction: Transaction,
        acknowledged: Moment?,
        transactions: [UInt64: Transaction],
        chains: [Int: [Transaction]],
        readAt: Moment
    ) {
        for owner in transaction.parents.keys {
            guard let chain = chains[owner] else { continue }
            // Several in a row may have vanished together.
            var ancestor = transaction.parents[owner] ?? 0
            while ancestor != 0, places[owner]?[ancestor] == nil {
                ancestor = transactions[ancestor]?.parents[owner] ?? 0
            }
            let place = ancestor == 0 ? 0 : places[owner]?[ancestor] ?? 0
            let gone = place < chain.count ? chain[place].seen : readAt
            for key in keys.keys where key.owner == owner {
                keys[key]?.append(
                    KeyHistory.Vanished(
                        transaction: transaction.id,
                        place: place,
                        sent: transaction.sent,
                        gone: gone,
                        acknowledged: acknowledged,
                        value: transaction.values[key] ?? ""
                    )
                )
            }
        }
    }
}
