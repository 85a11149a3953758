/// How far a reader may rely on what Redis holds.
public enum Trust: String, Hashable, Sendable, CaseIterable {
    /// The worker has vouched within its lease: every commit visible before that has been bumped.
    case healthy
    /// The worker's promise has run out, or there is none: entries count only for a short, configured age.
    case degraded
    /// Somebody has switched the cache off: load, and store nothing.
    case disabled
    /// Redis does not answer: load.
    case unreachable
}

/// The head of a bucket as a reader sees it, and what follows from it.
public struct Head: Hashable, Sendable {
    /// The fields a reader asks for, in the order in which ``init(fields:)`` takes them.
    public static let readerFields = ["gen", "vouched", "lease", "pg", "switch"]

    /// The field that a reader asks for in addition who has a transaction to wait for, behind the others.
    public static let snapshotField = "snapshot"

    /// The namespace generation; nil where there is none or where it cannot be read.
    public var generation: Generation?
    /// Up to when the worker vouches that every visible commit has been bumped.
    public var vouched: RedisTime?
    /// How long a promise holds.
    public var lease: Duration?
    /// The Postgres that the worker's promises are about.
    public var postgres: String?
    /// Whether the cache is switched off for all readers.
    public var isSwitchedOff: Bool
    /// What has been applied; nil where it was not asked for, or cannot be read.
    public var snapshot: TransactionSnapshot?

    /// The head out of the values of ``readerFields``, nil where absent.
    ///
    /// What cannot be read counts as absent.
    public init(fields: [String?]) {
        func field(_ index: Int) -> String? { index < fields.count ? fields[index] : nil }
        self.init(
            generation: field(0).flatMap { Generation($0) },
            vouched: field(1).flatMap { Int64($0) },
            lease: field(2).flatMap { Int64($0) },
            postgres: field(3),
            isSwitchedOff: field(4) == "off",
            snapshot: field(5).flatMap { TransactionSnapshot($0) }
        )
    }

    /// The head out of what its fields say, nil where one is absent or cannot be read.
    ///
    /// - Parameters:
    ///   - vouched: In microseconds of the server's clock.
    ///   - lease: In milliseconds.
    public init(
        generation: Generation?,
        vouched: Int64?,
        lease: Int64?,
        postgres: String?,
        isSwitchedOff: Bool,
        snapshot: TransactionSnapshot?
    ) {
        self.generation = generation
        self.vouched = vouched.map { RedisTime(microseconds: $0) }
        self.lease = lease.flatMap { $0 > 0 && $0 < 1 << 40 ? .milliseconds($0) : nil }
        self.postgres = postgres
        self.isSwitchedOff = isSwitchedOff
        self.snapshot = snapshot
    }

    /// A head that was never written.
    public static let absent = Head(fields: [])

    /// What the head is worth at `now`, a time read from the same Redis in the same transaction.
    public func trust(at now: RedisTime) -> Trust {
        if isSwitchedOff { return .disabled }
        guard generation != nil, let vouched, let lease else { return .degraded }
        let age = now.since(vouched)
        // A promise from the future means that the clock was stepped back: how old it is cannot be told.
        return age >= .zero && age < lease ? .healthy : .degraded
    }
}
