import Keyspace

/// The heads at which patience ended last: as long as one does not move, nobody waits for it again.
struct StalledHeads: Sendable {
    private var heads: Set<Head> = []

    /// Whether it is in vain to wait for these to move; where there is none, nothing is waited for.
    func contain(all heads: [Head]) -> Bool {
        !heads.isEmpty && self.heads.isSuperset(of: heads)
    }

    /// Patience has ended at these; where there is none, it has not ended, and the last ones stay.
    mutating func gaveUp(at heads: [Head]) {
        if !heads.isEmpty { self.heads = Set(heads) }
    }
}
