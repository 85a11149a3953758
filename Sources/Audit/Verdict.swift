// The verdict on one cached entry, and why it is a proof. Everything in this file is pure; the ``Auditor`` carries it out.
//
// Words. R₁, R₂, … are readings of Redis: each is one transaction that returns the entry, the three generations that guard it,
// and the head, with `snapshot` (H): what the worker has applied. L is the snapshot that the entry was loaded in. T is the
// snapshot that the auditor loads the truth in. N is a snapshot taken behind that load, on the same session.
//
//     read R₁ ──▶ load the truth (T) ──equal──▶ consistent
//                      │ differs
//                      ▼
//                  take N ──▶ read Rₙ ──▶ generations moved ─────────────▶ in flight
//                               ▲  │ ──▶ entry replaced by another fill ─▶ begin anew with that entry
//                               │  │ ──▶ entry or key gone ──────────────▶ undecided
//                               │  │ ──▶ H of this very reading covers N ▶ INCONSISTENT
//                               └──┘ else read again, until patience ends; then, by the journal of N:
//                                    a row that was not applied covers the entry ▶ in flight, else undecided
//
// Nothing here waits for a guessed time. What is waited for is that the head says: applied up to N. The worker publishes that
// in the script that bumps, in each pass in which it vouches, one a second at the least.
//
// Claim: in a correct system no entry is called inconsistent. Let Rₙ be the deciding reading: same entry (byte for byte, stamp
// and nonces included), same generations as R₁, its head of the Postgres that answered, and H ⊇ N.
//
// 1. T ⊆ N, because N was taken later on the same primary. So every change that the truth shows is in H.
// 2. L ⊆ T. The entry was there at R₁, so its load had ended; T was taken after R₁ was answered; and both are of one Postgres:
//    a fill is stored only where the head names the Postgres that it was loaded from, and when the head's changes, the
//    namespace is bumped in the same script, so the entry would not be valid at Rₙ.
// 3. Suppose the truth differs from the entry. Then a change C of it is in T and not in L. By 1, C is in H, so it was bumped in
//    the dataset of Rₙ. The entry's generations were read before L was taken, L does not show C, so they were read before C
//    became visible, hence before its bump. A generation is never used twice (nonces), so the entry would not be valid at Rₙ.
//    It is. So no such C exists in a correct system: a reader is being served a value from before a change that was applied, or one
//    that never was in the database.
//
// What that leaves to be said:
// * TRUNCATE, and a rewriting ALTER TABLE, are not MVCC-safe: a load may see their effect though its snapshot does not show them.
//   Whoever sees the effect has had the table's lock, so they had committed before the load ended. That is why N is taken
//   behind the load, and why it is N, not T, that the head must cover.
// * A worker that dies between bump and COMMIT: the bump stands, the row stays, and the next pass bumps again. Generations moved.
// * A worker that is paused, deposed or gone: H does not move, and the verdict is in flight or undecided.
// * A collapsed backlog, a truncate row, a reset: the namespace generation moves. Two caches: each has a head and an H of its own.
// * A Redis that was emptied, restored, or failed over between readings: generations, entries and H are of one dataset, and roll
//   back together. H ⊇ N of a restored dataset says what was bumped in that dataset, which is all that step 3 needs.
// * A pass that does not vouch (triggers not as attached) publishes no H, so nothing can be called inconsistent for what escaped.
//   The pass that mends it bumps the namespace in the script that publishes.
// * Trust is not asked for. While degraded, readers serve the same entries for a while, and a wrong one is as wrong.
// * A replica, an isolated old primary: its identity is not the head's, and nothing it says counts. The session asks for a primary.
// * An entry that expires, is evicted or deleted while it is suspect is undecided: nobody is served it any more.
//
// The other way round: an entry that differs from the database and is not called so must have been bumped, replaced or dropped,
// or the head does not move. In a cache with a worker that vouches, every standing falsehood is found.
//
// Rejected: to wait for a multiple of the lease (a guess, and wrong while the worker is paused); to call an entry in flight because
// some journal row mentions its detector (under steady writes that hides a falsehood for ever; the journal only names what patience
// could not resolve); to decide by the journal alone (a restored Redis has lost bumps whose rows are gone).

package import Keyspace

/// What an audit says of one entry that readers would be served.
package enum Verdict: Hashable, Sendable {
    /// It is what the database holds.
    case consistent
    /// It is not, and a change that explains it is on its way.
    case inFlight(InFlight)
    /// It is not, though everything that the database shows has been applied.
    case inconsistent
    /// It could not be told.
    case undecided(Undecided)

    /// How a change was seen to be on its way.
    package enum InFlight: String, Hashable, Sendable, CaseIterable {
        /// The entry was invalidated while it was looked at.
        case invalidated
        /// The journal holds a change of it that no worker has applied yet.
        case journaled
    }

    /// Why it could not be told.
    package enum Undecided: Hashable, Sendable {
        /// The worker has not published that it has applied what the database shows.
        case notApplied
        /// The worker vouches for another Postgres than the one that was asked, or for none.
        case otherPostgres
        /// The entry expired, or was evicted or deleted, before it could be told.
        case vanished
        /// Readers stored the entry anew each time it was looked at.
        case replaced
        /// The database did not answer in time, for example because somebody holds a table.
        case unreadable(String)
    }
}

/// One entry of a cache, by what guards it and which of its answers it is.
package struct EntryName: Hashable, Sendable {
    /// Whose entry it is.
    package var entity: Entity
    /// Which of the entity's entries.
    package var variant: Variant
}

/// An entry with all that guards it, as one transaction returned it.
struct EntryReading: Equatable, Sendable {
    /// What lies in the entry's field.
    enum Content: Equatable, Sendable {
        case absent, damaged
        case entry(Entry)
    }

    var generations: Generations
    var content: Content
    var head: Head
    var time: RedisTime?
    /// How many bytes lie in the entry's field.
    var size: Int?
    /// Why they are no entry, where that can be said.
    var damage: EntryDamage?

    /// The entry; nil where no reader would be served it, whatever it trusts.
    func served(timeToLive: Duration) -> Entry? {
        guard case .entry(let entry) = content, let time else { return nil }
        let verdict = entry.stamp.verdict(
            current: generations,
            trust: .healthy,
            at: time,
            degradedLimit: .zero,
            timeToLive: timeToLive
        )
        return verdict == .valid ? entry : nil
    }
}

/// What the database says of an entry.
struct Truth: Equatable, Sendable {
    /// Whether it is what the entry holds.
    var isEqual: Bool
    /// The Postgres that answered; nil where the load and N are not of one.
    var postgres: String?
    /// N; nil where the two are equal, and it was not asked for.
    var upTo: TransactionSnapshot?
    /// Whether the journal of N has a row that has not been applied and that invalidates the entry.
    var isJournaled = false
}

/// The way to the verdict on one entry.
struct Inquiry: Sendable {
    enum Step: Equatable, Sendable {
        /// Load the truth, after ``Inquiry/first``.
        case loadTruth
        /// Read the entry again.
        case readAgain
        case settled(Verdict)
    }

    let name: EntryName
    private let timeToLive: Duration
    /// The reading that the truth was, or is to be, loaded after.
    private(set) var first: EntryReading
    /// The entry of that reading.
    private(set) var entry: Entry
    /// The last reading.
    private(set) var latest: EntryReading
    private(set) var truth: Truth?
    /// What comes next.
    private(set) var step = Step.loadTruth
    private var replacements = 0
    private var obstacle = Verdict.Undecided.notApplied

    /// How often an entry that is replaced under the same generations is begun with anew.
    private static let replacementsFollowed = 5

    /// Nil where no reader would be served the entry.
    init?(_ name: EntryName, _ reading: EntryReading, timeToLive: Duration) {
        guard let entry = reading.served(timeToLive: timeToLive) else { return nil }
        self.name = name
        self.timeToLive = timeToLive
        self.entry = entry
        first = reading
        latest = reading
    }

    /// The truth, loaded after ``first`` was read.
    @discardableResult
    mutating func take(_ truth: Truth) -> Step {
        step = next(after: truth)
        return step
    }

    /// A reading, made after the truth was loaded.
    @discardableResult
    mutating func take(_ reading: EntryReading) -> Step {
        step = next(after: reading)
        return step
    }

    private mutating func next(after truth: Truth) -> Step {
        self.truth = truth
        guard isOfHeadsPostgres(truth) else {
            obstacle = .otherPostgres
            return .readAgain
        }
        return truth.isEqual ? .settled(.consistent) : .readAgain
    }

    private mutating func next(after reading: EntryReading) -> Step {
        latest = reading
        guard let truth else { return .loadTruth }
        // Gone by itself: a bump of an entity that is there leaves it there.
        if reading.generations.entity == nil || reading.generations.namespace == nil {
            return .settled(.undecided(.vanished))
        }
        if reading.generations != first.generations { return .settled(.inFlight(.invalidated)) }
        guard let current = reading.served(timeToLive: timeToLive) else { return .settled(.undecided(.vanished)) }
        if current != entry {
            replacements += 1
            guard replacements <= Self.replacementsFollowed else { return .settled(.undecided(.replaced)) }
            first = reading
            entry = current
            self.truth = nil
            return .loadTruth
        }
        guard isOfHeadsPostgres(truth) else {
            obstacle = .otherPostgres
            return .readAgain
        }
        if truth.isEqual { return .settled(.consistent) }
        guard let upTo = truth.upTo, let applied = reading.head.snapshot, applied.contains(upTo) else {
            obstacle = .notApplied
            return .readAgain
        }
        return .settled(.inconsistent)
    }

    /// The verdict where patience has ended.
    func giveUp() -> Verdict {
        truth?.isJournaled == true && truth?.isEqual == false ? .inFlight(.journaled) : .undecided(obstacle)
    }

    private func isOfHeadsPostgres(_ truth: Truth) -> Bool {
        guard let postgres = truth.postgres, PostgresIdentity(postgres) != nil else { return false }
        return latest.head.postgres == postgres
    }
}
