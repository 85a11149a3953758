// Sixteen bytes a step by sixteen tables: "slicing-by-16", after M. E. Kounavis and F. L. Berry, "A Systematic Approach to Building
// High Performance Software-Based CRC Generators", ISCC 2005. Table k answers what a byte does to the remainder k bytes
// further on, so that the sixteen look-ups of a step depend on nothing but the step before, where the byte-wise method
// (D. V. Sarwate, 1988), which finishes the last fifteen, waits for each byte in turn.

/// CRC-32/ISO-HDLC, the one of zlib, PNG and Ethernet: polynomial 0x04C11DB7, reflected, initial value and final XOR
/// 0xFFFFFFFF; `123456789` gives 0xCBF43926.
enum CRC32 {
    /// The sixteen tables, 256 elements each, one behind the other.
    private static let tables: [UInt32] = {
        var tables: [UInt32] = []
        tables.reserveCapacity(16 * 256)
        for byte in 0..<256 as Range<UInt32> {
            var remainder = byte
            for _ in 0..<8 {
                remainder = remainder & 1 == 1 ? 0xEDB8_8320 ^ (remainder >> 1) : remainder >> 1
            }
            tables.append(remainder)
        }
        for index in 256..<16 * 256 {
            let previous = tables[index - 256]
            tables.append(tables[Int(previous & 0xFF)] ^ (previous >> 8))
        }
        return tables
    }()

    /// The checksum of some bytes.
    static func checksum(of bytes: UnsafeRawBufferPointer) -> UInt32 {
        // Unchecked, because there are 16 * 256 elements and each index is a table's number below 16 times 256 plus a byte.
        tables.withUnsafeBufferPointer { tables in
            var remainder = UInt32.max
            var offset = 0
            while bytes.count - offset >= 16 {
                let first = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
                let second = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self))
                let next = first ^ UInt64(remainder)
                // One XOR a statement: the type checker takes too long over sixteen.
                remainder = tables[15 * 256 + Int(next & 0xFF)]
                remainder ^= tables[14 * 256 + Int((next >> 8) & 0xFF)]
                remainder ^= tables[13 * 256 + Int((next >> 16) & 0xFF)]
                remainder ^= tables[12 * 256 + Int((next >> 24) & 0xFF)]
                remainder ^= tables[11 * 256 + Int((next >> 32) & 0xFF)]
                remainder ^= tables[10 * 256 + Int((next >> 40) & 0xFF)]
                remainder ^= tables[9 * 256 + Int((next >> 48) & 0xFF)]
                remainder ^= tables[8 * 256 + Int(next >> 56)]
                remainder ^= tables[7 * 256 + Int(second & 0xFF)]
                remainder ^= tables[6 * 256 + Int((second >> 8) & 0xFF)]
                remainder ^= tables[5 * 256 + Int((second >> 16) & 0xFF)]
                remainder ^= tables[4 * 256 + Int((second >> 24) & 0xFF)]
                remainder ^= tables[3 * 256 + Int((second >> 32) & 0xFF)]
                remainder ^= tables[2 * 256 + Int((second >> 40) & 0xFF)]
                remainder ^= tables[256 + Int((second >> 48) & 0xFF)]
                remainder ^= tables[Int(second >> 56)]
                offset += 16
            }
            while offset < bytes.count {
                remainder = tables[Int(UInt8(truncatingIfNeeded: remainder) ^ bytes[offset])] ^ (remainder >> 8)
                offset += 1
            }
            return ~remainder
        }
    }
}
