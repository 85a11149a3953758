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
}

/// Reads what ``ByteWriter`` wrote.
///
/// Whatever is not there is nil, never a trap: the bytes may come from anywhere.
public struct ByteReader: Sendable {
    /// What is still to be read.
    public private(set) var rest: ArraySlice<UInt8>

    /// A reader at the beginning of some bytes.
    public init(_ bytes: ArraySlice<UInt8>) {
        rest = bytes
    }

    /// Reads one byte.
    public mutating func readUInt8() -> UInt8? { readInteger() }

    /// Reads 16 bits.
    public mutating func readUInt16() -> UInt16? { readInteger() }

    /// Reads 32 bits.
    public mutating func readUInt32() -> UInt32? { readInteger() }

    /// Reads 64 bits.
    public mutating func readUInt64() -> UInt64? { readInteger() }

    /// Reads 64 bits, signed.
    public mutating func readInt64() -> Int64? { readInteger() }

    /// Reads `count` bytes.
    public mutating func readBytes(count: Int) -> ArraySlice<UInt8>? {
        guard count >= 0, count <= rest.count else { return nil }
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }

    /// Reads a string as ``ByteWriter`` wrote it; nil also where it is not UTF-8.
    public mutating func readString() -> String? {
        guard let length = readUInt32(), let bytes = readBytes(count: Int(length)) else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }

    private mutating func readInteger<Integer: FixedWidthInteger>() -> Integer? {
        guard let bytes = readBytes(count: MemoryLayout<Integer>.size) else { return nil }
        return bytes.withUnsafeBytes { Integer(littleEndian: $0.loadUnaligned(as: Integer.self)) }
    }
}
