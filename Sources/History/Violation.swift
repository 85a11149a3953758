/// An answer that nobody was promised.
public struct Violation: Hashable, Sendable {
    /// What is wrong.
    public enum Kind: String, Sendable, CaseIterable {
        /// It had been replaced before the earliest moment that it may be from.
        case stale
        /// It is from before the transaction that the reader asked it to be after.
        case beforeToken = "before its token"
        /// It had not been committed when it was read.
        case early
        /// Nobody ever wrote it.
        case unknown
        /// It is not what the database held while nobody wrote to the set.
        case unequal = "unlike what stood still"
    }

    /// What is wrong.
    public var kind: Kind
    /// Who read it.
    public var reader: String
    /// The lookup.
    public var lookup: Lookup
    /// The answer.
    public var answer: Lookup.Answer
    /// The moment that the answer must not be from before.
    public var floor: Moment
    /// When the answer was certainly replaced, where it was.
    public var superseded: Moment?
    /// How many later commits of the same set had been made by the end of the lookup; 0 where nobody knows.
    public var commitsBetween: Int
    /// The time without writes that it fell into, where it was held against that.
    public var standstill: Standstill?
}
