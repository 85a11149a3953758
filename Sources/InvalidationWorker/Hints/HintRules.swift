/// The rules of a cache whose changes may be bumped ahead of their claim.
package protocol HintRules: CacheRules {
    /// What a row changes of what is looked up for others, and what is looked up for it.
    ///
    /// Rows of which none changes what is looked up for another invalidate by themselves what they do together. Nothing is looked up
    /// for a row that it changes itself.
    func ties(of row: JournalRow) -> RowTies
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
    /// Some rows, apart: those that invalidate by themselves what they do together with the others, and those that need not.
    func separated(_ rows: [JournalRow]) -> (alone: [JournalRow], together: [JournalRow]) {
        guard rows.count > 1 else { return (rows, []) }
        let ties = rows.map { self.ties(of: $0) }
        var all = RowTies()
        for ties in ties {
            all.changes.formUnion(ties.changes)
            all.reads.formUnion(ties.reads)
        }
        var (alone, together): ([JournalRow], [JournalRow]) = ([], [])
        for (row, ties) in zip(rows, ties) {
            if ties.changes.isDisjoint(with: all.reads), ties.reads.isDisjoint(with: all.changes) {
                alone.append(row)
            } else {
                together.append(row)
            }
        }
        return (alone, together)
    }
}
