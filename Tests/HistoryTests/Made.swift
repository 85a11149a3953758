import History

/// Moments in seconds, so that a history reads as a table.
func at(_ seconds: Double) -> Moment { Moment(nanoseconds: Int64(seconds * 1_000_000_000)) }

/// A made-up history of one set, detector 11 in environment 5, and of one owner.
struct MadeHistory {
    static let key = HistoryKey(detector: 11, environment: 5)
    /// A set without a history.
    static let arena = HistoryKey(detector: 91, environment: 5)

    /// "a" until 10, "b" until 20, "c" from then on; each COMMIT takes a tenth of a second.
    static let three: MadeHistory = {
        var made = MadeHistory()
        made.write(1, after: 0, sent: 1, acknowledged: 1.1, "a")
        made.write(2, after: 1, sent: 10, acknowledged: 10.1, "b")
        made.write(3, after: 2, sent: 20, acknowledged: 20.1, "c")
        return made
    }()

    private(set) var records: [WriterRecord] = []

    /// A transaction: its number, its parent, and what the set is afterwards.
    mutating func write(
        _ id: UInt64,
        after parent: UInt64,
        seen: Double? = nil,
        sent: Double,
        acknowledged: Double? = nil,
        _ value: String
    ) {
        let transaction = Transaction(
            id: id,
            parents: [1: parent],
            seen: at(seen ?? sent - 0.01),
            sent: at(sent),
            values: value.isEmpty ? [:] : [Self.key: value]
        )
        records.append(.intent(transaction))
        if let acknowledged { records.append(.acknowledged(id: id, at: at(acknowledged))) }
    }

    mutating func refuse(_ id: UInt64) {
        records.append(.refused(id: id))
    }

    func history(head: UInt64, readAt: Double = 100) throws -> CommitHistory {
        try CommitHistory(records: records, heads: [1: head], readAt: at(readAt), keys: [Self.key])
    }

    /// A checker of the history, with a lease of 2 s and a degraded age of 6 s.
    func checker(
        head: UInt64,
        steps: [Bounds.ClockStep] = [],
        standstills: [Standstill] = []
    ) throws -> HistoryChecker {
        let bounds = Bounds(lease: .seconds(2), degradedAge: .seconds(6), steps: steps)
        return HistoryChecker(try history(head: head), bounds: bounds, standstills: standstills)
    }

    /// The kinds of violations that one answer is.
    func violations(
        head: UInt64,
        _ value: String,
        _ source: Lookup.Source = .hit,
        _ trust: Lookup.Trust = .healthy,
        began: Double,
        ended: Double? = nil,
        token: UInt64 = 0,
        steps: [Bounds.ClockStep] = []
    ) throws -> [Violation.Kind] {
        var checker = try checker(head: head, steps: steps)
        let answer = Lookup.Answer(key: Self.key, source: source, digest: Digest(of: value))
        let lookup = Lookup(
            began: at(began),
            ended: at(ended ?? began + 0.01),
            trust: trust,
            token: token,
            answers: [answer]
        )
        checker.check(lookup, by: "reader")
        return checker.violations.map(\.kind)
    }
}
