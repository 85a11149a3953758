// What a reader records, as bytes. A reader is killed at any moment, so the file of a start may end in the middle of a record:
// what is not whole is left out. Nothing tells where a record begins but the end of the one before, so whoever starts again
// begins another file; see RecordFile. Integers are little-endian.
//
//     1, trust, answers (1 byte each), began, ended, token (8 each),
//        then for each answer detector, environment (2 each), source (1), digest (8)
//     2, length (1 + 2 bytes), digest (8), text

/// A record of a reader.
public enum ReadRecord: Hashable, Sendable {
    /// A lookup and its answers.
    case lookup(Lookup)
    /// What a digest stands for, told once before it is used.
    case meaning(Digest, String)

    /// Adds the record to some bytes.
    public func encode(into bytes: inout [UInt8]) {
        func append(_ value: some FixedWidthInteger) {
            withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
        }
        switch self {
        case .lookup(let lookup):
            let answers = lookup.answers.prefix(255)
            bytes += [1, lookup.trust.rawValue, UInt8(answers.count)]
            append(lookup.began.nanoseconds)
            append(lookup.ended.nanoseconds)
            append(lookup.token)
            for answer in answers {
                append(answer.key.detector)
                append(answer.key.environment)
                bytes.append(answer.source.rawValue)
                append(answer.digest.bits)
            }
        case .meaning(let digest, let text):
            let text = Array(text.utf8.prefix(Int(UInt16.max)))
            bytes.append(2)
            append(UInt16(text.count))
            append(digest.bits)
            bytes += text
        }
    }

    /// Calls `body` for each whole record in the bytes of one start.
    ///
    /// - Throws: ``Malformed`` where something is no record at all.
    public static func decode(_ bytes: [UInt8], _ body: (ReadRecord) throws -> Void) throws {
        var place = 0
        func take<Value: FixedWidthInteger>(_ type: Value.Type) -> Value {
            defer { place += MemoryLayout<Value>.size }
            return bytes.withUnsafeBytes {
                Value(littleEndian: $0.loadUnaligned(fromByteOffset: place, as: Value.self))
            }
        }
        while place < bytes.count {
            let start = place
            switch bytes[place] {
            case 1:
                guard bytes.count - place >= 27 else { return }
                let count = Int(bytes[place + 2])
                guard bytes.count - place >= 27 + 13 * count else { return }
                guard let trust = Lookup.Trust(rawValue: bytes[place + 1]) else { throw Malformed(place: start) }
                place += 3
                let (began, ended) = (take(Int64.self), take(Int64.self))
                var lookup = Lookup(
                    began: Moment(nanoseconds: began),
                    ended: Moment(nanoseconds: ended),
                    trust: trust,
                    token: take(UInt64.self),
                    answers: []
                )
                lookup.answers.reserveCapacity(count)
                for _ in 0..<count {
                    let key = HistoryKey(detector: take(UInt16.self), environment: take(UInt16.self))
                    guard let source = Lookup.Source(rawValue: take(UInt8.self)) else { throw Malformed(place: start) }
                    lookup.answers.append(
                        Lookup.Answer(key: key, source: source, digest: Digest(bits: take(UInt64.self)))
                    )
                }
                try body(.lookup(lookup))
            case 2:
                guard bytes.count - place >= 11 else { return }
                place += 1
                let length = Int(take(UInt16.self))
                let digest = Digest(bits: take(UInt64.self))
                guard bytes.count - place >= length else { return }
                try body(.meaning(digest, String(decoding: bytes[place..<place + length], as: UTF8.self)))
                place += length
            default:
                throw Malformed(place: start)
            }
        }
    }

    /// Bytes that no reader wrote.
    public struct Malformed: Error, CustomStringConvertible {
        /// The offset of the record.
        public var place: Int

        /// One line.
        public var description: String { "what a reader recorded is malformed at byte \(place)" }
    }
}
