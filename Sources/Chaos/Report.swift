import History

/// What a run showed, in figures.
struct Report {
    var incidents: [String: Int]
    var lasted: Duration
    var checker: HistoryChecker
    /// What was cached when nobody wrote any more.
    var cached: Comparison
    /// What the standstills of the arena have shown, but for the last one, at the end.
    var arena: ArenaFindings.Sums
    /// How many keys Redis evicted, and commands it refused, for want of memory.
    var evictedKeys: Int
    var refusedCommands: Int
    var lease: Duration
    var degradedAge: Duration

    /// Sets that were not what the database held while nobody wrote to them.
    var differences: [Comparison.Difference] {
        arena.differences + cached.differences.values.sorted { $0.key < $1.key }
    }

    var isWell: Bool {
        checker.tally.violations.isEmpty && checker.history.lost.isEmpty && differences.isEmpty && untried.isEmpty
    }

    /// As long a run has many standstills.
    private static let long = Duration.seconds(300)

    /// What a run has to have seen to say anything, and has not.
    private var untried: [String] {
        let tally = checker.tally
        let trusts = [Lookup.Trust.healthy, .degraded, .unreachable]
        var untried = trusts.filter { tally.byTrust[$0] == nil }.map { "\($0)" }
        untried += [Lookup.Source.hit, .near, .loaded].filter { tally.bySource[$0] == nil }.map { "\($0)" }
        if tally.withToken == 0 { untried.append("with a token") }
        if checker.history.tally.acknowledged == 0 { untried.append("acknowledged transactions") }
        if arena.compared == 0 { untried.append("cached in a standstill") }
        // Those of a brief run may all be broken off but for the last, which nothing breaks.
        untried += [Lookup.Source.hit, .near].filter { source in
            tally.atStandstill[source] == nil && (lasted >= Self.long || tally.atLastStandstill[source] == nil)
        }.map { "\($0) in a standstill" }
        // One may meet an empty Redis, or nobody who writes.
        if incidents[Fault.redisEvicts.kind] ?? 0 >= 3, evictedKeys == 0 { untried.append("evicted") }
        if incidents[Fault.redisFull.kind] ?? 0 >= 3, refusedCommands == 0 { untried.append("refused by a full Redis") }
        if cached.left.isEmpty { untried.append("cached at the end by readers") }
        return untried
    }

    var lines: [String] {
        let tally = checker.tally
        let commits = checker.history.tally
        func count(_ trust: Lookup.Trust) -> String { "\(trust) \(tally.byTrust[trust] ?? 0)" }
        func origin(_ source: Lookup.Source) -> String { "\(source) \(tally.bySource[source] ?? 0)" }
        func still(_ tally: [Lookup.Source: Int]) -> String {
            Lookup.Source.allCases.map { "\($0) \(tally[$0] ?? 0)" }.joined(separator: ", ")
        }
        func worst(_ trust: Lookup.Trust) -> String { (tally.worst[trust] ?? .zero).inSeconds }
        let kinds = incidents.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
        var lines = [
            "ran \(lasted.inSeconds) s",
            "faults \(incidents.values.reduce(0, +)), of \(incidents.count) kinds: \(kinds.joined(separator: ", "))",
            "transactions acknowledged \(commits.acknowledged); outcome unknown "
                + "\(commits.foundCommitted + commits.foundMissing), of which committed \(commits.foundCommitted); "
                + "refused \(commits.refused); acknowledged and lost \(checker.history.lost.count)",
            "answers checked \(tally.answers): \(Lookup.Trust.allCases.map(count).joined(separator: ", "))",
            "came from: \(Lookup.Source.allCases.map(origin).joined(separator: ", ")); with a token \(tally.withToken)",
            "worst staleness: healthy \(worst(.healthy)) s of \(lease.inSeconds) s, degraded \(worst(.degraded)) s of "
                + "\(degradedAge.inSeconds) s",
            "older, and excused by a clock that was set back: \(tally.excused), the worst \(tally.worstExcused.inSeconds) s",
            "standstills of the arena \(arena.standstills.count), and \(arena.brokenOff) that a fault broke off: "
                + "\(arena.compared) cached sets compared with the database, \(arena.differences.count) differ",
            "answers held against a standstill: \(still(tally.atStandstill)); against the last, when nothing was broken "
                + "any more: \(still(tally.atLastStandstill))",
            "for want of memory Redis evicted \(evictedKeys) keys, and refused \(refusedCommands) commands",
            "at the end: \(cached.left.count) cached sets that readers had left compared with the database, and "
                + "\(cached.refilled.count) that were filled since; \(cached.differences.count) differ",
        ]
        lines += differences.prefix(10).map { "  \($0)" }
        lines += checker.history.lost.prefix(10).map { "  lost: transaction \(String($0.id, radix: 36))" }
        let violations = Violation.Kind.allCases.filter { tally.violations[$0] != nil }
            .map { "\($0.rawValue) \(tally.violations[$0] ?? 0)" }
        if !untried.isEmpty { lines.append("too little was tried: none \(untried.joined(separator: ", none "))") }
        lines.append("violations: \(violations.isEmpty ? "none" : violations.joined(separator: ", "))")
        return lines
    }
}
