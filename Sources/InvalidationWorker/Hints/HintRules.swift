/// The rules of a cache whose changes may be bumped ahead of their claim.
package protocol HintRules: CacheRules {
    /// What a row changes, such that two rows which have none of it in common invalidate by themselves what they do together.
    func subjects(of row: JournalRow) -> Set<Int64>
}
