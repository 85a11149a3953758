/// A time in which nobody wrote to some sets, and what they were.
///
/// For sets of which nobody knows what they were at other times.
public struct Standstill: Hashable, Sendable {
    /// What had been written was visible by now, and nothing was written from now on.
    public var began: Moment
    /// Nobody had begun again by now.
    public var ended: Moment
    /// The sets that were not empty, as text.
    public var values: [HistoryKey: String]
    /// Whether it is the last: nothing was broken any more.
    public var isLast: Bool

    /// A standstill.
    public init(began: Moment, ended: Moment, values: [HistoryKey: String], isLast: Bool = false) {
        self.began = began
        self.ended = ended
        self.values = values
        self.isLast = isLast
    }

    /// A set, as text.
    func value(of key: HistoryKey) -> String { values[key] ?? "" }
}
