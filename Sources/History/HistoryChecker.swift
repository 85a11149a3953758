// Holds what readers answered against what writers wrote.
//
// What is known. Each set belongs to one owner. Whoever changes anything of an owner takes the owner's lock first, and reads
// there which transaction held it last; so the transactions of an owner form a tree, and what the database holds at the end
// is the end of one path through it: the surviving history, in order. A transaction of it became visible at a moment c, after its
// COMMIT was sent, and before it was acknowledged or, where nobody was told, before the next one found it under the lock.
// The value of a set after a transaction is what that transaction itself read before its COMMIT, when nobody else could change
// it. Hence every set is a register with a known sequence of values v1, v2, …; v(i) is the truth in [c(i), c(i+1)), and each c is
// known to lie in an interval.
//
// What is not on the path. A transaction whose COMMIT was sent and not refused, and that is not on the path, was rolled back, or
// committed by a server whose end was lost when its standby was promoted. Somebody may have seen it from its sending
// until the next surviving transaction took the lock: then it was not there, and before a promotion the old server had been
// ended. So its value counts as true in that time, beside the path's own. One that was acknowledged must be on the path, because
// replication is synchronous: where it is not, that is reported as lost.
//
// What an answer may be. A lookup that ran in [began, ended] may answer v(i) if v(i) was true at some moment in [floor,
// ended]: if sent(i) ≤ ended and known(i+1) ≥ floor. The floor is:
// * `began` for what was loaded for this lookup: the load's snapshot was taken within it. (So it is where Redis is out of reach
//   or the cache is switched off, where a token's transaction was waited for in vain, and always for a reader that shares no load.)
// * `began` − lease for an entry and for a shared load while healthy, and for what came from memory always: the promise found
//   was given for a moment less than a lease before the head was read, which was after `began`, and everything visible at that moment
//   had been bumped. A load is shared only under generations that this lookup has read as current: then its value is what an
//   entry under them would be. The time that a command takes does not come into it, since the floor counts from `began`.
// * `began` − the degraded age for an entry while degraded: its stamp was read before its load. The same for a shared load: who
//   shares it has read Redis less than a degraded age after the lookup that began it, and what one that waits for another process
//   finds there it shares with nobody.
// * Both are measured by the clock of Redis. Where that was set back by B between the floor and the end of the lookup, an age looks
//   shorter by B, and the floor lies B earlier; see ``Bounds``.
// With the token of transaction t, i must not come before t.
//
// Sets without a history. Where writers share no lock, nobody knows a sequence of values. But a time in which nobody wrote to a set,
// and what it was then, can be known: a standstill. An answer whose floor and whose end both lie in one must be that value; it had
// been true since before the floor. All other answers of such a set are passed over.
//
// Sound: with the promises kept, each rule follows for the true c's, and each test is weaker than its rule, because sent ≤ c ≤
// known. So a violation is one, whatever was paused and for how long: bounds are measured, never assumed. Not complete: a value
// that came back (a workflow linked again) is taken for its latest time, an answer within the intervals passes, and so does the value
// of a transaction whose outcome nobody knows, until the next one under its lock.
// What is assumed: clocks run at the same rate, the readers load from the server that takes writes, and no server that was
// replaced by a promotion serves on.

/// Checks lookups, one after another, against what was written.
public struct HistoryChecker: Sendable {
    /// What was checked.
    public struct Tally: Hashable, Sendable {
        /// How many answers.
        public var answers = 0
        /// By what the reader said.
        public var byTrust: [Lookup.Trust: Int] = [:]
        /// By where they came from.
        public var bySource: [Lookup.Source: Int] = [:]
        /// With a token that meant something.
        public var withToken = 0
        /// The longest time for which an answer had certainly been replaced before its lookup began, of those within the lease or
        /// the degraded age.
        public var worst: [Lookup.Trust: Duration] = [:]
        /// How many answers are older than that and allowed all the same, because the clock of Redis was set back.
        public var excused = 0
        /// The same as `worst`, of those.
        public var worstExcused = Duration.zero
        /// Answers of sets without a history that were held against a standstill, by where they came from; but for the last one.
        public var atStandstill: [Lookup.Source: Int] = [:]
        /// The same of the last one, when nothing was broken any more.
        public var atLastStandstill: [Lookup.Source: Int] = [:]
        /// By kind.
        public var violations: [Violation.Kind: Int] = [:]
    }

    /// What was written.
    public let history: CommitHistory
    /// How old answers may be.
    public let bounds: Bounds
    /// What was checked.
    public private(set) var tally = Tally()
    /// When nobody wrote to the sets without a history, in order.
    private let standstills: [Standstill]
    private var shortest = ShortestViolations()

    /// Those with the shortest histories, a thousand at the most, the shortest first.
    public var violations: [Violation] { shortest.sorted }

    /// A checker that has seen no lookup.
    ///
    /// - Parameter standstills: Times in which nobody wrote to any set without a history.
    public init(_ history: CommitHistory, bounds: Bounds, standstills: [Standstill] = []) {
        self.history = history
        self.bounds = bounds
        self.standstills = standstills.sorted { $0.began < $1.began }
    }

    /// Checks all answers of a lookup.
    public mutating func check(_ lookup: Lookup, by reader: String) {
        // For all answers of the same source it is the same.
        var floors: [Lookup.Source: Moment] = [:]
        let standstill = standstill(at: lookup.ended)
        for answer in lookup.answers {
            let floor = floors[answer.source] ?? bounds.floor(of: lookup, source: answer.source)
            floors[answer.source] = floor
            guard let key = history.keys[answer.key] else {
                if let standstill { check(answer, lookup, at: standstill, floor: floor, by: reader) }
                continue
            }
            tally.answers += 1
            tally.byTrust[lookup.trust, default: 0] += 1
            tally.bySource[answer.source, default: 0] += 1
            let least = lookup.token == 0 ? nil : history.place(of: lookup.token, owner: answer.key.owner)
            if least != nil { tally.withToken += 1 }
            check(answer, lookup, key, floor: floor, least: least ?? 0, by: reader)
        }
    }

    /// The standstill that a moment lies in.
    private func standstill(at moment: Moment) -> Standstill? {
        // The first that began later, by halves: there are many answers, and many standstills.
        var (low, high) = (0, standstills.count)
        while low < high {
            let middle = (low + high) / 2
            if standstills[middle].began <= moment { low = middle + 1 } else { high = middle }
        }
        guard low > 0, moment <= standstills[low - 1].ended else { return nil }
        return standstills[low - 1]
    }

    private mutating func check(
        _ answer: Lookup.Answer,
        _ lookup: Lookup,
        at standstill: Standstill,
        floor: Moment,
        by reader: String
    ) {
        guard floor >= standstill.began else { return }
        if standstill.isLast {
            tally.atLastStandstill[answer.source, default: 0] += 1
        } else {
            tally.atStandstill[answer.source, default: 0] += 1
        }
        guard answer.digest != Digest(of: standstill.value(of: answer.key)) else { return }
        report(
            Violation(
                kind: .unequal,
                reader: reader,
                lookup: lookup,
                answer: answer,
                floor: floor,
                superseded: nil,
                commitsBetween: 0,
                standstill: standstill
            )
        )
    }

    private mutating func check(
        _ answer: Lookup.Answer,
        _ lookup: Lookup,
        _ key: KeyHistory,
        floor: Moment,
        least: Int,
        by reader: String
    ) {
        var superseded: Moment?
        var place: Int?
        var isEarly = false
        var isBeforeToken = false
        for index in key.places(of: answer.digest) {
            guard key.versions[index].sent <= lookup.ended else {
                isEarly = true
                continue
            }
            let end = key.superseded(index)
            // A value may be of a time before the token's transaction, and last beyond it.
            let lasts = index + 1 == key.versions.count || key.versions[index + 1].place > least
            if end >= floor, lasts {
                note(lookup.began - min(end, lookup.began), answer.source, lookup.trust)
                return
            }
            // The latest is the one that is told of.
            if place == nil {
                place = index
                superseded = end
                isBeforeToken = end >= floor
            }
        }
        let vanished = key.vanished(answer.digest)
        if vanished.contains(where: { $0.sent <= lookup.ended && $0.gone >= floor && $0.place >= least }) { return }
        let kind: Violation.Kind
        if place != nil {
            kind = isBeforeToken ? .beforeToken : .stale
        } else if isEarly {
            kind = .early
        } else {
            kind = vanished.isEmpty ? .unknown : .stale
        }
        report(
            Violation(
                kind: kind,
                reader: reader,
                lookup: lookup,
                answer: answer,
                floor: floor,
                superseded: superseded ?? vanished.map(\.gone).max(),
                commitsBetween: key.versions.count { $0.sent <= lookup.ended } - (place ?? 0)
            )
        )
    }

    private mutating func report(_ violation: Violation) {
        tally.violations[violation.kind, default: 0] += 1
        shortest.add(violation)
    }

    /// Counts an answer that is allowed, by how long before its lookup it had been replaced.
    private mutating func note(_ behind: Duration, _ source: Lookup.Source, _ trust: Lookup.Trust) {
        let isDegraded = trust == .degraded && source != .near
        if behind > (isDegraded ? bounds.degradedAge : bounds.lease) {
            tally.excused += 1
            tally.worstExcused = max(tally.worstExcused, behind)
        } else {
            // As in the bounds: memory keeps its promise also where the lookup's other sets were loaded.
            let kept = source == .near ? .healthy : trust
            tally.worst[kept] = max(tally.worst[kept] ?? .zero, behind)
        }
    }
}
