// The checksum of an entry: XXH64 by Y. Collet, "xxHash fast digest algorithm", specification 0.2.0. Its inner loop does nothing but
// multiply, add and rotate in four lanes that depend on nothing but themselves, so that a processor needs about a quarter of a
// cycle for each byte: a table-driven CRC needs four times that, and was a third of what reading an entry took. A CRC's promises
// about bursts of bits are of no use here, because an entry travels over TCP and lies in memory: what is to be noticed is
// that it is not what was written, by whatever accident.

/// XXH64, the hash of 64 bits of the xxHash family; not for use against an adversary.
enum XXHash64 {
    private static let primes: (UInt64, UInt64, UInt64, UInt64, UInt64) = (
        0x9E37_79B1_85EB_CA87, 0xC2B2_AE3D_27D4_EB4F, 0x1656_67B1_9E37_79F9, 0x85EB_CA77_C2B2_AE63,
        0x27D4_EB2F_1656_67C5
    )

    /// The hash of some bytes, with the seed 0.
    static func hash(of bytes: UnsafeRawBufferPointer) -> UInt64 {
        let (prime1, prime2, prime3, prime4, prime5) = primes
        var offset = 0
        var hash: UInt64
        if bytes.count >= 32 {
            var lane1 = prime1 &+ prime2
            var lane2 = prime2
            var lane3: UInt64 = 0
            var lane4 = 0 &- prime1
            while bytes.count - offset >= 32 {
                lane1 = round(lane1, word(at: offset, of: bytes))
                lane2 = round(lane2, word(at: offset + 8, of: bytes))
                lane3 = round(lane3, word(at: offset + 16, of: bytes))
                lane4 = round(lane4, word(at: offset + 24, of: bytes))
                offset += 32
            }
            hash = rotated(lane1, by: 1) &+ rotated(lane2, by: 7) &+ rotated(lane3, by: 12) &+ rotated(lane4, by: 18)
            hash = (hash ^ round(0, lane1)) &* prime1 &+ prime4
            hash = (hash ^ round(0, lane2)) &* prime1 &+ prime4
            hash = (hash ^ round(0, lane3)) &* prime1 &+ prime4
            hash = (hash ^ round(0, lane4)) &* prime1 &+ prime4
        } else {
            hash = prime5
        }
        hash &+= UInt64(bytes.count)

        while bytes.count - offset >= 8 {
            hash = rotated(hash ^ round(0, word(at: offset, of: bytes)), by: 27) &* prime1 &+ prime4
            offset += 8
        }
        if bytes.count - offset >= 4 {
            let half = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
            hash = rotated(hash ^ UInt64(half) &* prime1, by: 23) &* prime2 &+ prime3
            offset += 4
        }
        while offset < bytes.count {
            hash = rotated(hash ^ UInt64(bytes[offset]) &* prime5, by: 11) &* prime1
            offset += 1
        }
        hash = (hash ^ hash >> 33) &* prime2
        hash = (hash ^ hash >> 29) &* prime3
        return hash ^ hash >> 32
    }

    @inline(__always)
    private static func word(at offset: Int, of bytes: UnsafeRawBufferPointer) -> UInt64 {
        UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    @inline(__always)
    private static func round(_ lane: UInt64, _ word: UInt64) -> UInt64 {
        rotated(lane &+ word &* primes.1, by: 31) &* primes.0
    }

    @inline(__always)
    private static func rotated(_ word: UInt64, by bits: UInt64) -> UInt64 {
        word &<< bits | word &>> (64 &- bits)
    }
}
