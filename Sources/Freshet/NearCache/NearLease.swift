import Keyspace

/// What one poll of the heads allows a near cache to do.
enum NearLease: Equatable {
    /// The worker's promise holds until then, for entries under these generations.
    case healthy(generations: [Int: Generation], until: LocalTime)
    /// Nobody vouches, or the cache is switched off: nothing is answered from memory.
    case none

    /// Judges the heads of all buckets, each with the time of its server.
    ///
    /// - Parameter sent: When the question was sent, by the local clock. The server read its time later than that, so the
    ///   promise, counted from here, ends here no later than there. No clock is compared with another.
    init(heads: [(head: Head, time: RedisTime?)], sent: LocalTime) {
        var generations: [Int: Generation] = [:]
        var rest: Duration?
        for (bucket, (head, time)) in heads.enumerated() {
            guard let time, head.trust(at: time) == .healthy, let generation = head.generation,
                let vouched = head.vouched, let lease = head.lease
            else {
                self = .none
                return
            }
            generations[bucket] = generation
            let own = lease - time.since(vouched)
            rest = min(rest ?? own, own)
        }
        self = rest.map { .healthy(generations: generations, until: sent + $0) } ?? .none
    }
}
