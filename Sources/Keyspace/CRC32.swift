/// CRC-32/ISO-HDLC, the one of zlib, PNG and Ethernet: polynomial 0x04C11DB7, reflected, initial value and final XOR
/// 0xFFFFFFFF; `123456789` gives 0xCBF43926.
///
/// Byte-wise by table (D. V. Sarwate, 1988).
enum CRC32 {
    private static let table: [UInt32] = (0..<256).map { index in
        (0..<8).reduce(UInt32(index)) { remainder, _ in
            remainder & 1 == 1 ? 0xEDB8_8320 ^ (remainder >> 1) : remainder >> 1
        }
    }

    static func checksum(of bytes: ArraySlice<UInt8>) -> UInt32 {
        let remainder = table.withUnsafeBufferPointer { table in
            bytes.withUnsafeBufferPointer { bytes in
                bytes.reduce(UInt32.max) { remainder, byte in
                    table[Int(UInt8(truncatingIfNeeded: remainder) ^ byte)] ^ (remainder >> 8)
                }
            }
        }
        return ~remainder
    }
}
