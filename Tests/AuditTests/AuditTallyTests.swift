import Testing

@testable import Audit

/// What the sums of an audit may claim.
struct AuditTallyTests {
    private func tally(consistent: Int, inFlight: Int = 0, inconsistent: Int = 0, undecided: Int = 0) -> AuditTally {
        var tally = AuditTally()
        tally.consistent = consistent
        tally.inFlight = inFlight
        tally.inconsistent = inconsistent
        tally.undecided = undecided
        return tally
    }

    @Test func `what could not be told counts as wrong`() {
        // Entries are undecided where they differ and nobody vouches: a sample in which a tenth is stale shows less than one nine.
        let bound = tally(consistent: 900, undecided: 100).bound
        #expect(bound.checked == 1_000 && bound.wrong == 100 && bound.nines < 1)
        #expect(tally(consistent: 0, undecided: 7).bound.nines == 0)
        #expect(tally(consistent: 1_000, inFlight: 5).bound.wrong == 0)
    }

    @Test func `what is found wrong lowers the nines before the round is over, and nothing raises them till then`() {
        let clean = tally(consistent: 1_000)
        // Nothing but right ones so far, however few or many.
        #expect(AuditTally.proven(lastRound: clean, underWay: tally(consistent: 2, inFlight: 1)) == clean)
        #expect(AuditTally.proven(lastRound: clean, underWay: tally(consistent: 9_000)) == clean)
        let wrong = tally(consistent: 500, inconsistent: 1)
        #expect(AuditTally.proven(lastRound: clean, underWay: wrong) == wrong && wrong.bound.nines < clean.bound.nines)
        // A table may have been locked for a moment.
        #expect(AuditTally.proven(lastRound: clean, underWay: tally(consistent: 500, undecided: 100)) == clean)
        // The last round was worse.
        let worse = tally(consistent: 10, inconsistent: 10)
        #expect(AuditTally.proven(lastRound: worse, underWay: tally(consistent: 500, inconsistent: 1)) == worse)
        // There was none, or one that has shown nothing.
        for none in [nil, tally(consistent: 0), tally(consistent: 0, inFlight: 3)] {
            #expect(AuditTally.proven(lastRound: none, underWay: tally(consistent: 2)) == tally(consistent: 2))
        }
    }

    @Test func `a second look at the same entries shows no more, also where the first was broken off`() {
        let clean = tally(consistent: 1_000)
        var rounds = AuditRounds()
        for _ in 1...2 {
            rounds.add(clean)
            #expect(rounds.proven == clean)
            rounds.end()
            #expect(rounds.proven == clean)
        }
        rounds.add(tally(consistent: 500))
        rounds.breakOff()
        rounds.add(clean)
        #expect(rounds.proven == clean && rounds.underWay == clean)
        // What was wrong before it was broken off stays so, until a round without it is over.
        let wrong = tally(consistent: 100, inconsistent: 1)
        rounds.add(wrong)
        rounds.breakOff()
        rounds.add(clean)
        #expect(rounds.proven.inconsistent == 1)
        rounds.end()
        #expect(rounds.proven == clean)
    }

    @Test func `it is well only where all was told and something was held against the database`() {
        #expect(tally(consistent: 3, inFlight: 1).isWell == true)
        #expect(tally(consistent: 3, undecided: 1).isWell == nil)
        #expect(tally(consistent: 3, inconsistent: 1, undecided: 1).isWell == false)
        #expect(tally(consistent: 0).isWell == nil)
    }

    @Test func `nothing shown is no nine, and not one below`() {
        #expect(ErrorRateBound(checked: 3, wrong: 3).nines.sign == .plus)
    }
}
