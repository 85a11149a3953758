import History

/// Moments in seconds, so that a history reads as a table.
func at(_ seconds: Double) -> Moment { Moment(nanoseconds: Int64(seconds * 1_000_000_000)) }

/// A made-up history of one set, detector 11 in environment 5, and of one owner.
struct MadeHistory {
    static let key = HistoryKey(detector: 11, environment: 5)

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
        let bounds = Bounds(lease: .seconds(2), degradedAge: .seconds(6), steps: steps)
        var checker = HistoryChecker(try history(head: head), bounds: bounds)
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
