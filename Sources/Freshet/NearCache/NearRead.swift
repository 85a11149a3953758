import Keyspace

/// A read of several keys whose outcome may be kept in memory: the connection to send it over, and a ticket for each key.
struct NearRead<Key: Hashable & Sendable, Value: Sendable>: ~Copyable {
    let session: NearCache<Key, Value>.Session
    private let near: NearCache<Key, Value>
    private let keys: [Key]
    private var tickets: [NearCache<Key, Value>.Shard.Ticket?]

    /// Begins a read that is about to be sent; nil while there are no connections that track.
    init?(of keys: [Key], for near: NearCache<Key, Value>?, entity: (Key) -> Entity) {
        guard let near, let session = near.session else { return nil }
        self.near = near
        self.session = session
        self.keys = keys
        tickets = keys.map { near.ticket(for: $0, of: entity($0), session: session) }
    }

    deinit {
        for (key, ticket) in zip(keys, tickets) {
            if let ticket { near.giveBack(ticket, for: key) }
        }
    }

    /// Keeps what Redis answered for the key in a place, unless something happened to it since.
    mutating func keep(_ candidate: NearCache<Key, Value>.Shard.Candidate, at place: Int) {
        guard let ticket = tickets[place] else { return }
        tickets[place] = nil
        near.redeem(ticket, for: keys[place], with: candidate)
    }
}
