/// How many entries were audited, and with what outcome.
package struct AuditTally: Hashable, Sendable {
    /// What the database holds.
    package var consistent = 0
    /// Different, and explained by a change on its way.
    package var inFlight = 0
    /// Different, and explained by nothing.
    package var inconsistent = 0
    /// It could not be told.
    package var undecided = 0
    /// Entries that readers would not be served: of a generation that has passed, expired, damaged, gone again.
    package var notServed = 0

    package init() {}

    /// How many were held against the database to the end.
    package var checked: Int { consistent + inconsistent }

    /// How many were looked at.
    package var total: Int { checked + inFlight + undecided + notServed }

    /// What has been shown.
    ///
    /// What could not be told counts as wrong: every entry that differs while nobody vouches is among it, so to leave it out would be to
    /// choose the entries by whether they are right. Some of it may be right, as where a table was locked: less is claimed then, not more.
    package var bound: ErrorRateBound {
        ErrorRateBound(checked: checked + undecided, wrong: inconsistent + undecided)
    }

    /// What the nines are about: the last round that was finished, or the first one so far.
    ///
    /// To look at the same entries again shows nothing more of them. But what is found wrong does not wait for the end of the round
    /// under way, which may be days off: from then on the worse of the two counts. What could not be told does wait: for a moment's
    /// lock on a table nobody is to be woken.
    package static func proven(lastRound: AuditTally?, underWay: AuditTally) -> AuditTally {
        // A round that has shown nothing is none.
        guard let lastRound, lastRound.bound.checked > 0 else { return underWay }
        return underWay.inconsistent > 0 && underWay.bound.rate > lastRound.bound.rate ? underWay : lastRound
    }

    /// Whether all that was looked at is right; nil where that could not be told, or nothing was held against the database.
    package var isWell: Bool? {
        if inconsistent > 0 { return false }
        return undecided == 0 && checked > 0 ? true : nil
    }

    mutating func add(_ verdict: Verdict) {
        switch verdict {
        case .consistent: consistent += 1
        case .inFlight: inFlight += 1
        case .inconsistent: inconsistent += 1
        case .undecided: undecided += 1
        }
    }

    /// The sum of two.
    package static func + (left: AuditTally, right: AuditTally) -> AuditTally {
        var sum = left
        sum.consistent += right.consistent
        sum.inFlight += right.inFlight
        sum.inconsistent += right.inconsistent
        sum.undecided += right.undecided
        sum.notServed += right.notServed
        return sum
    }
}
