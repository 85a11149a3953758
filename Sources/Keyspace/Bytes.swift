#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Appends integers and bytes, little-endian, to an array.
public struct ByteWriter: Sendable {
    /// What has been written.
    public private(set) var bytes: [UInt8] = []

    /// An empty writer with room for `capacity` bytes.
    public init(capacity: Int = 0) {
        bytes.reserveCapacity(capacity)
    }

    /// Appends an integer, little-endian.
    public mutating func write(_ integer: some FixedWidthInteger) {
        // A pointer for the length of the call, because an integer has no other way to show its bytes.
        withUnsafeBytes(of: integer.littleEndian) { bytes.append(contentsOf: $0) }
    }

    /// Appends bytes as they are.
    public mutating func write(bytes more: some Collection<UInt8>) {
        bytes.append(contentsOf: more)
    }

    /// Appends a string: its length in UTF-8 as 32 bits, then its UTF-8.
    public mutating func write(_ string: String) {
        write(UInt32(string.utf8.count))
        bytes.append(contentsOf: string.utf8)
    }

    /// Appends a record: the length of what `body` writes as 32 bits, then what it writes.
    ///
    /// Readers skip what stands behind the last field that they know, so a later version may write more fields there.
    public mutating func writeRecord(_ body: (inout ByteWriter) -> Void) {
        let start = bytes.count
        write(UInt32(0))
        body(&self)
        let length = UInt32(bytes.count - start - 4)
        for byte in 0..<4 { bytes[start + byte] = UInt8(truncatingIfNeeded: length >> (8 * UInt32(byte))) }
    }
}

/// Reads what ``ByteWriter`` wrote.
///
/// Whatever is not there is nil, never a trap: the bytes may come from anywhere.
public struct ByteReader: Sendable {
    // One slice and a position in it, not a slice that shrinks: each shrinking would retain and release the array.
    @usableFromInline let bytes: ArraySlice<UInt8>
    @usableFromInline var position: Int

    /// A reader at the beginning of some bytes.
    @inlinable
    public init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        position = bytes.startIndex
    }

    /// What is still to be read.
    @inlinable public var rest: ArraySlice<UInt8> { bytes[position...] }

    /// Whether nothing is left to be read.
    ///
    /// In a record this is how a field that a later version added is known to be absent from an older one.
    @inlinable public var isAtEnd: Bool { position == bytes.endIndex }

    /// How many bytes are left.
    @inlinable public var count: Int { bytes.endIndex - position }

    /// Reads one byte.
    @inlinable
    public mutating func readUInt8() -> UInt8? { readInteger() }

    /// Reads 16 bits.
    @inlinable
    public mutating func readUInt16() -> UInt16? { readInteger() }

    /// Reads 32 bits.
    @inlinable
    public mutating func readUInt32() -> UInt32? { readInteger() }

    /// Reads 64 bits.
    @inlinable
    public mutating func readUInt64() -> UInt64? { readInteger() }

    /// Reads 64 bits, signed.
    @inlinable
    public mutating func readInt64() -> Int64? { readInteger() }

    /// Reads `count` bytes.
    @inlinable
    public mutating func readBytes(count: Int) -> ArraySlice<UInt8>? {
        guard count >= 0, count <= self.count else { return nil }
        defer { position += count }
        return bytes[position..<position + count]
    }

    /// Reads a record as ``ByteWriter/writeRecord(_:)`` wrote it: a reader of its fields.
    @inlinable
    public mutating func readRecord() -> ByteReader? {
        guard let length = readUInt32(), let bytes = readBytes(count: Int(length)) else { return nil }
        return ByteReader(bytes)
    }

    /// Reads a string as ``ByteWriter`` wrote it; nil also where it is not UTF-8.
    public mutating func readString() -> String? {
        guard let length = readUInt32(), let utf8 = readBytes(count: Int(length)),
            // A pointer for the length of the call, because the check takes eight bytes at a time.
            utf8.withUnsafeBytes({ $0.isUTF8 })
        else { return nil }
        return String(decoding: utf8, as: UTF8.self)
    }

    @inlinable
    mutating func readInteger<Integer: FixedWidthInteger & BitwiseCopyable>() -> Integer? {
        guard count >= MemoryLayout<Integer>.size else { return nil }
        defer { position += MemoryLayout<Integer>.size }
        let offset = position - bytes.startIndex
        // A pointer for the length of the call, because nothing else loads several bytes at once from any address; that all
        // of them are there was checked above.
        return bytes.withUnsafeBytes {
            Integer(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: Integer.self))
        }
    }
}

extension UnsafeRawBufferPointer {
    /// Whether the bytes are UTF-8: at once where they are ASCII, as nearly all texts are.
    package var isUTF8: Bool {
        var offset = 0
        var union: UInt64 = 0
        while count - offset >= 8 {
            union |= loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            offset += 8
        }
        while offset < count {
            union |= UInt64(self[offset])
            offset += 1
        }
        if union & 0x8080_8080_8080_8080 == 0 { return true }
        // What is no UTF-8 is replaced, so the string has other bytes. This is much faster than the standard library's validation,
        // which does that for any encoding and collection at once, unspecialised.
        var string = String(decoding: self, as: UTF8.self)
        return string.withUTF8 { utf8 in
            guard utf8.count == count else { return false }
            guard let own = utf8.baseAddress, let given = baseAddress else { return true }
            return memcmp(own, given, count) == 0
        }
    }
}
