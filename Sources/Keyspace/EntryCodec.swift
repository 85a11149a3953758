// The bytes of an entry, version 2. All integers are little-endian.
//
//     offset  length  content
//          0       1  0x46, "F"
//          1       1  version, 2
//          2      16  namespace generation: counter, nonce
//         18      16  entity generation: counter, nonce
//         34      16  variant generation: counter, nonce; a counter of 0 stands for "none yet"
//         50       8  time of the read, microseconds since 1970 by the Redis server's clock
//         58       4  length of the payload, n
//         62       n  payload
//     62 + n       4  the lower half of XXH64, with seed 0, of all bytes before it
//
// The checksum is there because a payload that is damaged but still decodes would be a wrong answer, not a miss. Version 1 had
// CRC-32 in its place.

/// An entry as Redis holds it: what it was valid for, and the value's bytes.
public struct Entry: Equatable, Sendable {
    /// What the entry was valid for when it was loaded.
    public var stamp: EntryStamp
    /// The value, in the layout of the cache's own codec.
    public var payload: ArraySlice<UInt8>

    /// An entry of a stamp and the encoded value.
    public init(stamp: EntryStamp, payload: ArraySlice<UInt8>) {
        self.stamp = stamp
        self.payload = payload
    }
}

/// Why bytes are no entry.
///
/// Each is a miss, and is counted.
public enum EntryDamage: Error, Hashable, Sendable {
    /// Shorter than its own lengths say, or with bytes left over.
    case wrongLength
    /// Not written by Freshet.
    case notAnEntry
    /// Written by a version of Freshet that this one does not know.
    case unknownVersion(UInt8)
    /// The checksum does not match.
    case wrongChecksum
    /// The checksum matches, and yet the content cannot be read.
    case malformed
}

/// Turns entries into bytes and back.
public enum EntryCodec {
    /// The version that this code writes.
    public static let version: UInt8 = 2
    /// Bytes that an entry takes beyond its payload.
    public static let overhead = headerLength + checksumLength

    private static let magic = UInt8(ascii: "F")
    private static let headerLength = 62
    private static let checksumLength = 4

    /// The bytes of an entry.
    public static func encode(_ entry: Entry) -> [UInt8] {
        var writer = ByteWriter(capacity: entry.payload.count + overhead)
        writer.write(magic)
        writer.write(version)
        write(entry.stamp.namespace, to: &writer)
        write(entry.stamp.entity, to: &writer)
        write(entry.stamp.variant, to: &writer)
        writer.write(UInt64(bitPattern: entry.stamp.readAt.microseconds))
        writer.write(UInt32(entry.payload.count))
        writer.write(bytes: entry.payload)
        // A pointer for the length of the call, because the checksum takes eight bytes at a time.
        writer.write(writer.bytes.withUnsafeBytes { checksum(of: $0) })
        return writer.bytes
    }

    /// The entry in some bytes, which may come from anywhere.
    public static func decode(_ bytes: ArraySlice<UInt8>) throws(EntryDamage) -> Entry {
        // A pointer for the length of the call, because the checksum takes eight bytes at a time and the header's fields lie
        // at any address; what is there is checked first.
        let stamp = try bytes.withUnsafeBytes { Self.stamp(of: $0) }.get()
        return Entry(stamp: stamp, payload: bytes.dropFirst(headerLength).dropLast(checksumLength))
    }

    /// The entry in some bytes, which may come from anywhere.
    public static func decode(_ bytes: [UInt8]) throws(EntryDamage) -> Entry {
        try decode(bytes[...])
    }

    private static func stamp(of bytes: UnsafeRawBufferPointer) -> Result<EntryStamp, EntryDamage> {
        guard bytes.count >= 2 else { return .failure(.wrongLength) }
        guard bytes[0] == magic else { return .failure(.notAnEntry) }
        guard bytes[1] == version else { return .failure(.unknownVersion(bytes[1])) }
        guard bytes.count >= overhead else { return .failure(.wrongLength) }
        guard let namespace = generation(at: 2, of: bytes), let entity = generation(at: 18, of: bytes) else {
            return .failure(.malformed)
        }
        let end = bytes.count - checksumLength
        guard end - headerLength == Int(integer(at: 58, of: bytes) as UInt32) else { return .failure(.wrongLength) }
        guard checksum(of: UnsafeRawBufferPointer(rebasing: bytes[..<end])) == integer(at: end, of: bytes) else {
            return .failure(.wrongChecksum)
        }
        let stamp = EntryStamp(
            namespace: namespace,
            entity: entity,
            variant: generation(at: 34, of: bytes),
            readAt: RedisTime(microseconds: integer(at: 50, of: bytes))
        )
        return .success(stamp)
    }

    private static func checksum(of bytes: UnsafeRawBufferPointer) -> UInt32 {
        UInt32(truncatingIfNeeded: XXHash64.hash(of: bytes))
    }

    private static func write(_ generation: Generation?, to writer: inout ByteWriter) {
        writer.write(generation?.counter ?? 0)
        writer.write(generation?.nonce ?? 0)
    }

    private static func generation(at offset: Int, of bytes: UnsafeRawBufferPointer) -> Generation? {
        let counter: UInt64 = integer(at: offset, of: bytes)
        return counter == 0 ? nil : Generation(counter: counter, nonce: integer(at: offset + 8, of: bytes))
    }

    private static func integer<Integer: FixedWidthInteger & BitwiseCopyable>(
        at offset: Int,
        of bytes: UnsafeRawBufferPointer
    ) -> Integer {
        Integer(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Integer.self))
    }
}
