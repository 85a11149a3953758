/// A violation and what led to it, for people.
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

    private static let commitsTold = 8
    private static let readsTold = 6

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

    /// The shortest history that shows what is wrong: the commits of that set since the value that was read, the answers around
    /// the wrong one, and what was done to the servers meanwhile.
    public func tell(
        _ violation: Violation,
        of key: KeyHistory,
        neighbours: [Neighbour],
        incidents: [Incident]
    ) -> [String] {
        let lookup = violation.lookup
        var lines = ["\(violation.kind.rawValue): \(violation.answer.key), read by \(violation.reader)"]
        var events: [(Moment, String)] = []
        let wrong = Neighbour(reader: violation.reader, lookup: lookup, answer: violation.answer)
        events.append((lookup.began, line(wrong) + "   <<<"))
        if let superseded = violation.superseded, superseded < lookup.began {
            let allowed = (lookup.began - violation.floor).inSeconds
            let behind = (lookup.began - superseded).inSeconds
            lines.append("  replaced for certain \(behind) s before the lookup; allowed are \(allowed) s")
        }

        // The value read, what replaced it, and the last ones before the lookup ended.
        let written = key.versions.filter { $0.sent <= lookup.ended && $0.transaction != 0 }
        let from = key.places(of: violation.answer.digest).first { key.versions[$0].sent <= lookup.ended }
        let since = from.map { key.versions[$0].sent } ?? violation.floor
        let relevant = written.filter { $0.sent >= since }
        for version in relevant.prefix(Self.commitsTold / 2) + relevant.dropFirst(Self.commitsTold / 2).suffix(4) {
            let what = "\(named(version.transaction)): \(text(version.value))"
            events.append((version.sent, "committed by \(time(version.known))  \(what)"))
        }
        if relevant.count > Self.commitsTold {
            lines.append("  of \(relevant.count) commits since, the first and the last")
        }
        for vanished in key.vanished where vanished.sent <= lookup.ended && vanished.gone >= since {
            let what = "\(named(vanished.transaction)): \(text(vanished.value))"
            events.append((vanished.sent, "sent, gone by \(time(vanished.gone))  \(what)"))
        }

        let before = neighbours.filter { $0.lookup.began < lookup.began }.suffix(Self.readsTold / 2)
        let after = neighbours.filter { $0.lookup.began > lookup.began }.prefix(Self.readsTold / 2)
        for neighbour in before + after { events.append((neighbour.lookup.began, line(neighbour))) }
        for incident in incidents where incident.began >= since - .seconds(2) && incident.began <= lookup.ended {
            events.append((incident.began, "== \(incident.text)"))
        }
        return lines + events.sorted { $0.0 < $1.0 }.map { "  \(time($0.0))  \($0.1)" }
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
