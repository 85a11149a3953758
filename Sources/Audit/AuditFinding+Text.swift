package import Keyspace

extension EntryStamp {
    /// The three generations, then the time of the read, for people.
    package var text: String {
        "\(namespace) \(entity) \(variant?.description ?? "-") read at \(readAt.microseconds)"
    }
}

extension Head {
    /// What the worker has said, for people.
    package var text: String {
        let vouched = vouched.map { String($0.microseconds) } ?? "none"
        let (generation, snapshot) = (generation?.description ?? "none", snapshot?.description ?? "none")
        return "gen \(generation), vouched \(vouched), snapshot \(snapshot), pg \(postgres ?? "none")"
    }
}

extension ValueDifference {
    /// What differs, for people: columns by their names, rows by their ids.
    package var text: String {
        func list(_ ids: [Int64]) -> String { ids.map(String.init).joined(separator: ", ") }
        var parts: [String] = []
        if !onlyCached.isEmpty { parts.append("only cached: \(list(onlyCached))") }
        if !onlyInDatabase.isEmpty { parts.append("only in the database: \(list(onlyInDatabase))") }
        for row in changed { parts.append("\(row.id) differs in \(row.columns.joined(separator: ", "))") }
        return parts.isEmpty ? "none" : parts.joined(separator: "; ")
    }
}

extension Verdict {
    /// The verdict in one word, as programs read it.
    package var word: String {
        switch self {
        case .consistent: "consistent"
        case .inFlight: "in_flight"
        case .inconsistent: "inconsistent"
        case .undecided: "undecided"
        }
    }

    /// Why, where the word does not say it.
    package var reason: String? {
        switch self {
        case .consistent, .inconsistent: nil
        case .inFlight(.invalidated): "it was invalidated while it was looked at"
        case .inFlight(.journaled): "the journal holds a change of it that no worker has applied yet"
        case .undecided(.notApplied):
            "it differs, and no worker has said that it has applied what the database shows: is one running, and vouching?"
        case .undecided(.otherPostgres):
            "the worker vouches for another Postgres than the one that was asked, or for none"
        case .undecided(.vanished): "it expired, was evicted or deleted before it could be told"
        case .undecided(.replaced): "readers stored it anew each time it was looked at"
        case .undecided(.unreadable(let message)): "the database did not answer in time: \(message)"
        }
    }
}
