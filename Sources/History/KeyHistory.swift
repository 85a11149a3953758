/// What one set was, in order.
public struct KeyHistory: Sendable {
    /// A value that a transaction of the surviving history gave it.
    public struct Version: Hashable, Sendable {
        /// Which transaction; 0 is the empty beginning.
        public var transaction: UInt64
        /// The place of the transaction among its owner's.
        public var place: Int
        /// It became visible after this.
        public var sent: Moment
        /// It was visible by now.
        public var known: Moment
        /// The set as text.
        public var value: String
    }

    /// A value that somebody may have seen and that is not part of the surviving history.
    public struct Vanished: Hashable, Sendable {
        /// Which transaction.
        public var transaction: UInt64
        /// The place of the last surviving transaction before it.
        public var place: Int
        /// It became visible, if at all, after this.
        public var sent: Moment
        /// It was no longer visible by now.
        public var gone: Moment
        /// When somebody had been told that it was committed; nil where nobody was.
        public var acknowledged: Moment?
        /// The set as text.
        public var value: String
    }

    /// One after another; the first is empty, and from before everything.
    public private(set) var versions: [Version]
    /// In no order.
    public private(set) var vanished: [Vanished] = []
    /// The places in `versions` of each value, ascending.
    private var places: [Digest: [Int]]

    init() {
        let beginning = Version(transaction: 0, place: 0, sent: .distantPast, known: .distantPast, value: "")
        versions = [beginning]
        places = [Digest(of: ""): [0]]
    }

    mutating func append(_ version: Version) {
        if versions.last?.value == version.value { return }
        places[Digest(of: version.value), default: []].append(versions.count)
        versions.append(version)
    }

    mutating func append(_ vanished: Vanished) {
        self.vanished.append(vanished)
    }

    /// Where in `versions` a value stands, latest first.
    func places(of digest: Digest) -> ReversedCollection<[Int]> {
        (places[digest] ?? []).reversed()
    }

    /// Those that were never known to survive, with this value.
    func vanished(_ digest: Digest) -> [Vanished] {
        vanished.filter { Digest(of: $0.value) == digest }
    }

    /// The value that a transaction gave it which is not part of the surviving history.
    func vanished(of transaction: UInt64) -> Vanished? {
        vanished.first { $0.transaction == transaction }
    }

    /// The last version of the surviving history that a vanished one came after.
    func version(before vanished: Vanished) -> Version {
        versions.last { $0.place <= vanished.place } ?? versions[0]
    }

    /// When the version at this place was certainly no longer current.
    func superseded(_ place: Int) -> Moment {
        place + 1 < versions.count ? versions[place + 1].known : .distantFuture
    }
}
