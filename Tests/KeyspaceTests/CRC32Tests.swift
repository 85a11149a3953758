import Testing

@testable import Keyspace

struct CRC32Tests {
    private func checksum(_ bytes: some Collection<UInt8>) -> UInt32 {
        Array(bytes).withUnsafeBytes { CRC32.checksum(of: $0) }
    }

    @Test func `the published check values come out`() {
        // The catalogue of parametrised CRC algorithms has the first; the others are what zlib's crc32() gives.
        #expect(checksum("123456789".utf8) == 0xCBF4_3926)
        #expect(checksum([]) == 0)
        #expect(checksum([0]) == 0xD202_EF8D)
        #expect(checksum("The quick brown fox jumps over the lazy dog".utf8) == 0x414F_A339)
    }

    @Test func `every length at every address gives what the definition gives, bit by bit`() {
        let bytes = (0..<80).map { UInt8(truncatingIfNeeded: $0 &* 151 &+ 7) }
        for start in 0..<8 {
            for end in start..<bytes.count {
                let remainder = bytes[start..<end].reduce(UInt32.max) { remainder, byte in
                    (0..<8).reduce(remainder ^ UInt32(byte)) { remainder, _ in
                        remainder & 1 == 1 ? 0xEDB8_8320 ^ (remainder >> 1) : remainder >> 1
                    }
                }
                let found = bytes.withUnsafeBytes { CRC32.checksum(of: .init(rebasing: $0[start..<end])) }
                #expect(found == ~remainder)
            }
        }
    }
}
