/// The rules of a cache whose changes may be bumped ahead of their claim.
package protocol HintRules: CacheRules {
    /// What a row changes of what is looked up for others, and what is looked up for it.
    ///
    /// Rows of which none changes what is looked up for another invalidate by themselves what they do together: a claim takes all that is
    /// visible, so what no row of it changes has been as it is since the claim before, and each row was resolved with that. Nothing is
    /// looked up for a row that it changes itself.
    func ties(of row: JournalRow) -> RowTies

    /// What a fact was looked up for; nil for what no row reads.
    func key(of fact: FactRow) -> RowTies.Fact?
}

/// How a row hangs together with others.
package struct RowTies: Hashable, Sendable {
    /// What can be looked up: a kind of ``FactRow``, and the key.
    package struct Fact: Hashable, Sendable {
        var kind: String
        var key: Int64
    }

    var changes: Set<Fact> = []
    var reads: Set<Fact> = []
}

extension HintRules {
    /// For each of some rows the facts that were looked up for it; nil where these are more than so many, all rows taken together.
    ///
    /// A row by itself invalidates with these what it does with all facts.
    func facts(of rows: [JournalRow], among facts: [FactRow], atMost limit: Int) -> [[FactRow]]? {
        guard rows.count > 1 else { return [facts] }
        var known: [RowTies.Fact: [FactRow]] = [:]
        for fact in facts {
            if let key = key(of: fact) { known[key, default: []].append(fact) }
        }
        var count = 0
        var own: [[FactRow]] = []
        own.reserveCapacity(rows.count)
        for row in rows {
            let read = ties(of: row).reads.compactMap { known[$0] }
            count += read.reduce(0) { $0 + $1.count }
            if count > limit { return nil }
            own.append(read.count == 1 ? read[0] : Array(read.joined()))
        }
        return own
    }

    /// Which of some rows invalidate together with others of them what they do not by themselves.
    func tied(_ rows: [JournalRow]) -> [Bool] {
        guard rows.count > 1 else { return rows.map { _ in false } }
        let ties = rows.map { self.ties(of: $0) }
        var all = RowTies()
        for ties in ties {
            all.changes.formUnion(ties.changes)
            all.reads.formUnion(ties.reads)
        }
        return ties.map { !$0.changes.isDisjoint(with: all.reads) || !$0.reads.isDisjoint(with: all.changes) }
    }
}
