@testable import Keyspace

extension FuzzTarget {
    /// The contract between workers and readers: what stands in Redis.
    static let keyspace: [FuzzTarget] = [entry, generation, subject, head, snapshot, identity]

    private static let stamps = [
        EntryStamp(
            namespace: Generation(counter: 1, nonce: 2),
            entity: Generation(counter: 3, nonce: .max),
            variant: nil,
            readAt: RedisTime(microseconds: 1_700_000_000_123_456)
        ),
        EntryStamp(
            namespace: Generation(counter: .max, nonce: 0),
            entity: Generation(counter: 1, nonce: 4),
            variant: Generation(counter: 5, nonce: 6),
            readAt: RedisTime(microseconds: .min)
        ),
    ]

    private static let entry = FuzzTarget(
        name: "entry",
        sound: stamps.flatMap { stamp in
            [[], Array(0...40)].map { EntryCodec.encode(Entry(stamp: stamp, payload: $0[...])) }
        },
        repair: { bytes in
            guard bytes.count >= EntryCodec.overhead else { return }
            let length = UInt32(bytes.count - EntryCodec.overhead)
            bytes.replaceSubrange(58..<62, with: littleEndian(length))
            bytes.replaceSubrange((bytes.count - 4)..., with: littleEndian(checksum(bytes.dropLast(4))))
        },
        parse: { bytes in
            let entry: Entry
            do { entry = try EntryCodec.decode(bytes) } catch { return false }
            try require(entry.payload.count == bytes.count - EntryCodec.overhead, "a payload of another length")
            try require(bytes.suffix(4).elementsEqual(littleEndian(checksum(bytes.dropLast(4)))), "a wrong checksum")
            let again = EntryCodec.encode(entry)
            try require(try EntryCodec.decode(again) == entry, "encodes to another entry")
            // The nonce of a variant that has no generation says nothing.
            try require(again == bytes || entry.stamp.variant == nil, "encodes to other bytes")
            return true
        }
    )

    private static let generation = FuzzTarget(
        name: "generation",
        sound: ["1.0000000000000000", "42.00000000000000ff", "18446744073709551615.ffffffffffffffff"].map {
            Array($0.utf8)
        },
        words: ["0", "9", "f", ".", "18446744073709551616", "+", "-"],
        parse: { bytes in
            let text = String(decoding: bytes, as: UTF8.self)
            guard let generation = Generation(utf8: bytes) else {
                try require(Generation(text) == nil, "read as text, but not as bytes")
                return false
            }
            try require(generation.description.utf8.elementsEqual(bytes), "another spelling of \(generation)")
            try require(Generation(text) == generation, "another generation as text")
            return true
        }
    )

    /// Keys that Redis tells of.
    private static let subject = FuzzTarget(
        name: "subject",
        sound: ["p:n:{0}.gen", "p:n:{3}:17", "p:n:{1}:a/b%20c", "p:n:{2}:1:c:-"],
        words: ["{", "}", ":", ".gen", "p:n:", "{1}", "01", "+1"],
        parse: { text in
            let namespace = try CacheNamespace(prefix: "p", name: "n", bucketCount: 4)
            guard let subject = namespace.subject(ofKey: text.utf8) else {
                let isOurs = namespace.buckets.contains { bucket in
                    text.hasPrefix(namespace.headKey(bucket: bucket) + ":") || text == namespace.bumpKey(bucket: bucket)
                }
                try require(!isOurs, "a key of ours is nobody's")
                return false
            }
            let isRight = namespace.buckets.contains { bucket in
                switch subject {
                case .namespaceBump: namespace.bumpKey(bucket: bucket) == text
                case .entity(let entity): namespace.headKey(bucket: bucket) + ":" + entity.text == text
                }
            }
            try require(isRight, "\(subject) has another key")
            return true
        }
    )

    /// The fields of a head, one a line.
    private static let head = FuzzTarget(
        name: "head",
        sound: [
            "1.00000000000000aa\n1000000\n5000\n7/1/a\n\n10:20:15",
            "1.00000000000000aa\n-9223372036854775808\n1099511627775\nreplica\noff\n1:1:",
        ],
        words: ["\n", "9223372036854775807", "-9223372036854775808", "1099511627776", "0", "-1", "off", "5000"],
        parse: { text in
            let fields = text.split(separator: "\n", omittingEmptySubsequences: false).map { String($0) }
            let head = Head(fields: fields)
            for now in [0, 1_000_001, .max, .min] as [Int64] {
                let trust = head.trust(at: RedisTime(microseconds: now))
                try require(trust != .healthy || head.generation != nil, "healthy without a generation")
                try require((trust == .disabled) == head.isSwitchedOff, "switched off and \(trust)")
                guard trust == .healthy, let vouched = head.vouched, let lease = head.lease else { continue }
                let (age, overflow) = now.subtractingReportingOverflow(vouched.microseconds)
                try require(!overflow && age >= 0 && .microseconds(age) < lease, "healthy at \(now) by \(fields)")
            }
            return head.generation != nil && head.vouched != nil && head.lease != nil && head.snapshot != nil
        }
    )

    private static let snapshot = FuzzTarget(
        name: "snapshot",
        sound: ["10:20:11,15", "1:1:", "0:18446744073709551615:18446744073709551614"],
        words: [":", ",", "18446744073709551616", "-1", "+1", "10"],
        parse: { text in
            guard let snapshot = TransactionSnapshot(text) else { return false }
            try require(TransactionSnapshot(snapshot.description) == snapshot, "another snapshot as \(snapshot)")
            try require(snapshot.contains(snapshot), "\(snapshot) does not contain itself")
            try require(!snapshot.contains(UInt64.max), "\(snapshot) contains every transaction")
            return true
        }
    )

    private static let identity = FuzzTarget(
        name: "identity",
        sound: ["7123456789012345678/1/0123456789abcdef", "1/4294967295/-"],
        words: ["/", "-", "4294967296", "replica"],
        parse: { text in
            guard let identity = PostgresIdentity(text) else { return false }
            try require(PostgresIdentity(identity.description) == identity, "another identity as \(identity)")
            try require(!identity.isBehind(identity), "\(identity) is behind itself")
            return true
        }
    )
}

/// The bytes of an integer, little-endian.
func littleEndian(_ value: UInt32) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
}

/// The checksum of an entry: what makes a broken one sound again.
func checksum(_ bytes: some Sequence<UInt8>) -> UInt32 {
    Array(bytes).withUnsafeBytes { UInt32(truncatingIfNeeded: XXHash64.hash(of: $0)) }
}
