/// What it showed to look some sets up, once or several times, while nobody wrote to them.
public struct Comparison: Sendable {
    /// A set that was not what the database held.
    public struct Difference: Hashable, Sendable {
        /// Whose set.
        public var key: HistoryKey
        /// When it was looked up.
        public var found: Moment
        /// What the lookup said, as text.
        public var answer: String
        /// What the database held, as text.
        public var truth: String

        /// A difference.
        public init(key: HistoryKey, found: Moment, answer: String, truth: String) {
            self.key = key
            self.found = found
            self.answer = answer
            self.truth = truth
        }
    }

    /// Those that were cached when they were looked up first: somebody else had left them there.
    public private(set) var left: Set<HistoryKey> = []
    /// Those that were not, and were found cached later: these lookups may have filled them themselves.
    public private(set) var refilled: Set<HistoryKey> = []
    /// The first difference of each set.
    public private(set) var differences: [HistoryKey: Difference] = [:]
    private var seen: Set<HistoryKey> = []

    /// One that has looked nothing up.
    public init() {}

    /// Takes what a lookup answered of a set.
    public mutating func note(_ key: HistoryKey, isCached: Bool, difference: Difference?) {
        let isFirst = seen.insert(key).inserted
        if isCached, isFirst { left.insert(key) }
        if isCached, !left.contains(key) { refilled.insert(key) }
        if differences[key] == nil { differences[key] = difference }
    }
}

extension Comparison.Difference: CustomStringConvertible {
    /// One line.
    public var description: String {
        let elsewhere = answer == truth ? ", which differs in a column that is not shown" : ""
        return "\(key): the lookup says \"\(answer)\", the database \"\(truth)\"\(elsewhere)"
    }
}
