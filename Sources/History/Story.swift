// What is wrong, and what led to it, for people: the shortest history that shows it. There are three kinds: an answer that nobody was
// promised, a set that was not what the database held while nobody wrote to it, and a transaction that was acknowledged and is gone.
// Each is told by the commits of one set since the wrong value was right, the answers around it, and what was broken meanwhile.

/// Tells of what is wrong.
public struct Story: Sendable {
    /// Another answer for the same set.
    public struct Neighbour: Sendable {
        /// Who read it.
        public var reader: String
        /// The lookup.
        public var lookup: Lookup
        /// The answer.
        public var answer: Lookup.Answer

        /// An answer.
        public init(reader: String, lookup: Lookup, answer: Lookup.Answer) {
            self.reader = reader
            self.lookup = lookup
            self.answer = answer
        }
    }

    /// Something else that happened.
    public struct Incident: Sendable {
        /// When it began.
        public var began: Moment
        /// What it was.
        public var text: String

        /// An incident.
        public init(began: Moment, text: String) {
            self.began = began
            self.text = text
        }
    }

    /// A line, and what it is sorted by.
    private typealias Event = (at: Moment, text: String)

    private static let commitsTold = 8
    private static let readsTold = 6
    /// Faults are told that began so long before what is told first.
    private static let lead = Duration.seconds(2)
    /// What is told goes so far back where nobody knows when the value was right.
    private static let leadOfUnknown = Duration.seconds(10)

    /// The moment that times are counted from.
    private let origin: Moment
    private let meanings: [Digest: String]

    /// - Parameters:
    ///   - origin: The moment that times are counted from.
    ///   - meanings: What the digests stand for.
    public init(origin: Moment, meanings: [Digest: String]) {
        self.origin = origin
        self.meanings = meanings
    }

    /// The shortest history that shows an answer that nobody was promised.
    ///
    /// - Parameter key: What the set was; nil for one without a history.
    public func tell(
        _ violation: Violation,
        of key: KeyHistory?,
        neighbours: [Neighbour],
        incidents: [Incident]
    ) -> [String] {
        let lookup = violation.lookup
        var lines = ["\(violation.kind.rawValue): \(violation.answer.key), read by \(violation.reader)"]
        let wrong = Neighbour(reader: violation.reader, lookup: lookup, answer: violation.answer)
        var events: [Event] = [(at: lookup.began, text: line(wrong) + "   <<<")]
        if let superseded = violation.superseded, superseded < lookup.began {
            let allowed = (lookup.began - violation.floor).inSeconds
            let behind = (lookup.began - superseded).inSeconds
            lines.append("  replaced for certain \(behind) s before the lookup; allowed are \(allowed) s")
        }
        var since = violation.floor
        if let standstill = violation.standstill {
            let held = text(standstill.value(of: violation.answer.key))
            let still = "to \(time(standstill.ended))  nobody writes, the database holds: \(held)"
            events.append((at: standstill.began, text: still))
            since = standstill.began - Self.leadOfUnknown
        }
        if let key { events += commits(of: key, from: violation.answer.digest, &since, until: lookup.ended, &lines) }
        events += reads(neighbours, around: lookup.began)
        events += faults(incidents, since: since, until: lookup.ended)
        return told(lines, events)
    }

    /// The shortest history that shows how a set came to differ from the database.
    ///
    /// - Parameter key: What the set was; nil for one without a history.
    public func tell(
        _ difference: Comparison.Difference,
        of key: KeyHistory?,
        neighbours: [Neighbour],
        incidents: [Incident]
    ) -> [String] {
        var lines = ["different: \(difference.key), looked up while nobody wrote to it"]
        let found = "looked up: \(text(difference.answer)); the database holds: \(text(difference.truth))   <<<"
        var events: [Event] = [(at: difference.found, text: found)]
        var since = difference.found - Self.leadOfUnknown
        if let key {
            events += commits(of: key, from: Digest(of: difference.answer), &since, until: difference.found, &lines)
        }
        events += reads(neighbours, around: difference.found)
        events += faults(incidents, since: since, until: difference.found)
        return told(lines, events)
    }

    /// The value that was read, what replaced it, and the last ones before the end.
    ///
    /// - Parameter since: From when on a story tells; moved to when that value was sent, where it is known.
    private func commits(
        of key: KeyHistory,
        from digest: Digest,
        _ since: inout Moment,
        until end: Moment,
        _ lines: inout [String]
    ) -> [Event] {
        let from = key.places(of: digest).first { key.versions[$0].sent <= end }
        since = from.map { key.versions[$0].sent } ?? since
        return commits(of: key, since: since, until: end, &lines)
    }

    /// The shortest history that shows a transaction that was acknowledged and is not part of what survives.
    ///
    /// - Parameter neighbours: Answers for the set ``CommitHistory/set(lostWith:)``.
    public func tell(
        lost transaction: Transaction,
        in history: CommitHistory,
        neighbours: [Neighbour],
        incidents: [Incident]
    ) -> [String] {
        var lines = ["lost: \(named(transaction.id)), which was acknowledged, is not part of what the database holds"]
        guard let key = history.set(lostWith: transaction), let known = history.keys[key],
            let lost = known.vanished(of: transaction.id)
        else { return lines }
        lines.append("  as \(key) shows it")
        let before = known.version(before: lost)
        let after = known.versions.first { $0.place > lost.place }
        let since = before.transaction == 0 ? lost.sent : before.sent
        var events = commits(of: known, since: since, until: max(lost.gone, after?.sent ?? lost.gone), &lines)
        for index in events.indices where events[index].at == lost.sent { events[index].text += "   <<<" }
        events += reads(neighbours, around: lost.sent)
        events += faults(incidents, since: since, until: lost.gone)
        return told(lines, events)
    }

    // MARK: What happened

    /// What was written to a set, or may have been, in a stretch of time.
    ///
    /// - Parameter lines: Is told where some are left out.
    private func commits(of key: KeyHistory, since: Moment, until end: Moment, _ lines: inout [String]) -> [Event] {
        let relevant = key.versions.filter { $0.transaction != 0 && $0.sent >= since && $0.sent <= end }
        let half = Self.commitsTold / 2
        if relevant.count > Self.commitsTold {
            lines.append("  of \(relevant.count) commits since, the first and the last")
        }
        let committed = (relevant.prefix(half) + relevant.dropFirst(half).suffix(half)).map { version -> Event in
            let what = "\(named(version.transaction)): \(text(version.value))"
            return (at: version.sent, text: "committed by \(time(version.known))  \(what)")
        }
        let vanished = key.vanished.filter { $0.sent <= end && $0.gone >= since }.map { vanished -> Event in
            let answer = vanished.acknowledged.map { ", acknowledged by \(time($0))" } ?? ""
            let what = "\(named(vanished.transaction)): \(text(vanished.value))"
            return (at: vanished.sent, text: "sent\(answer), gone by \(time(vanished.gone))  \(what)")
        }
        return committed + vanished
    }

    /// The answers before a moment and after it.
    private func reads(_ neighbours: [Neighbour], around moment: Moment) -> [Event] {
        let before = neighbours.filter { $0.lookup.began < moment }.suffix(Self.readsTold / 2)
        let after = neighbours.filter { $0.lookup.began > moment }.prefix(Self.readsTold / 2)
        return (before + after).map { (at: $0.lookup.began, text: line($0)) }
    }

    private func faults(_ incidents: [Incident], since: Moment, until end: Moment) -> [Event] {
        incidents.filter { $0.began >= since - Self.lead && $0.began <= end }
            .map { (at: $0.began, text: "== \($0.text)") }
    }

    // MARK: Words

    private func told(_ lines: [String], _ events: [Event]) -> [String] {
        lines + events.sorted { $0.at < $1.at }.map { "  \(time($0.at))  \($0.text)" }
    }

    private func line(_ neighbour: Neighbour) -> String {
        let (lookup, answer) = (neighbour.lookup, neighbour.answer)
        let token = lookup.token == 0 ? "" : " after \(named(lookup.token))"
        return "to \(time(lookup.ended))  \(neighbour.reader): \(lookup.trust) \(answer.source)\(token): "
            + text(meanings[answer.digest] ?? "a set that nobody wrote")
    }

    private func time(_ moment: Moment) -> String {
        if moment == .distantFuture { return "(never)" }
        let text = (moment - origin).inSeconds
        return String(repeating: " ", count: max(0, 8 - text.utf8.count)) + text
    }

    private func named(_ transaction: UInt64) -> String { "t" + String(transaction, radix: 36).prefix(6) }

    private func text(_ value: String) -> String { value.isEmpty ? "(empty)" : value }
}
