/// Who takes part in bringing a change to Redis.
enum CommitParty: String, Hashable, CaseIterable {
    case writers = "sessions of the writers"
    case sessions = "sessions of the worker, or the floor"
    case program = "the worker, or the floor"
    case redis = "Redis"
    case clients = "the clients, who are this program"
}

/// For how long each of them has used a processor, in microseconds.
typealias ProcessorUse = [CommitParty: Double]

extension ProcessorUse {
    /// What some clocks show.
    init(_ clocks: [CommitParty: [ProcessorClock]]) throws {
        self = try clocks.mapValues { try $0.reduce(0) { $0 + (try $1.microseconds) } }
    }

    /// Adds what was used from one look at the clocks to the next.
    mutating func add(from before: ProcessorUse, to after: ProcessorUse) {
        for (party, time) in after { self[party, default: 0] += time - before[party, default: 0] }
    }
}
