/// What an audit has brought, round after round.
package struct AuditRounds: Sendable {
    /// What is left of the rounds before.
    private var lastRound: AuditTally?
    /// What the round under way has brought so far.
    package private(set) var underWay = AuditTally()

    package init() {}

    /// What the nines are about.
    package var proven: AuditTally { .proven(lastRound: lastRound, underWay: underWay) }

    /// Adds what a batch of the round under way has brought.
    package mutating func add(_ tally: AuditTally) {
        underWay = underWay + tally
    }

    /// Ends the round: from now on it is the last one.
    package mutating func end() {
        (lastRound, underWay) = (underWay, AuditTally())
    }

    /// Ends a round that failed.
    ///
    /// The next one looks at the same entries again, so they must not be counted twice; but what was found wrong stays so.
    package mutating func breakOff() {
        (lastRound, underWay) = (proven, AuditTally())
    }
}
