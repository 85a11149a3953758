/// What one lookup answered, with the moments between which it did.
public struct Lookup: Hashable, Sendable {
    /// How far the reader said that it relied on Redis.
    public enum Trust: UInt8, Sendable, CaseIterable {
        case healthy, degraded, disabled, unreachable
    }

    /// Where an answer came from.
    public enum Source: UInt8, Sendable, CaseIterable {
        /// An entry in Redis.
        case hit
        /// The memory of the reader's process.
        case near
        /// A load that may have begun for another reader.
        case shared
        /// A load that began for this lookup.
        case loaded
    }

    /// One set.
    public struct Answer: Hashable, Sendable {
        /// Whose set.
        public var key: HistoryKey
        /// Where it came from.
        public var source: Source
        /// What it was.
        public var digest: Digest

        /// An answer.
        public init(key: HistoryKey, source: Source, digest: Digest) {
            self.key = key
            self.source = source
            self.digest = digest
        }
    }

    /// The lookup was called after this.
    public var began: Moment
    /// It had returned before this.
    public var ended: Moment
    /// What the reader said of the whole lookup.
    public var trust: Trust
    /// The transaction that the answers must not be from before; 0 for none.
    public var token: UInt64
    /// One for each set.
    public var answers: [Answer]

    /// A lookup.
    public init(began: Moment, ended: Moment, trust: Trust, token: UInt64 = 0, answers: [Answer]) {
        self.began = began
        self.ended = ended
        self.trust = trust
        self.token = token
        self.answers = answers
    }
}
