import Testing

@testable import Keyspace

struct XXHash64Tests {
    private func hash(_ bytes: some Collection<UInt8>) -> UInt64 {
        Array(bytes).withUnsafeBytes { XXHash64.hash(of: $0) }
    }

    /// What the reference implementation gives for so many of ``bytes``: each length takes another way through the remainder.
    private static let reference: [(count: Int, hash: UInt64)] = [
        (0, 0xEF46_DB37_51D8_E999),
        (1, 0xA96C_7F0C_E858_BBB7),
        (3, 0x2F28_7408_6C76_28D8),
        (4, 0x14FE_4537_7C82_2387),
        (7, 0x1AFB_0E45_6603_3049),
        (8, 0x2B4E_E232_C934_9D82),
        (12, 0xA144_4F5B_343B_119C),
        (31, 0xD5CE_50E5_D53B_8C92),
        (32, 0xCA18_B6AE_4913_772A),
        (33, 0x531A_7C44_07D7_9F95),
        (47, 0x610E_6B66_E669_16DB),
        (63, 0xA155_570C_DFC5_E7A3),
        (64, 0x1DEC_0ABA_21DD_4A5B),
        (80, 0x3DE2_AB60_CBB1_59FA),
        (100, 0x4BAC_7D6B_7A3F_FBAA),
    ]

    private let bytes = (0..<108).map { UInt8(truncatingIfNeeded: $0 &* 151 &+ 7) }

    @Test func `the published check values come out`() {
        #expect(hash([]) == 0xEF46_DB37_51D8_E999)
        #expect(hash("123456789".utf8) == 0x8CB8_41DB_40E6_AE83)
        #expect(hash("The quick brown fox jumps over the lazy dog".utf8) == 0x0B24_2D36_1FDA_71BC)
    }

    @Test func `every way through the bytes gives what the reference implementation gives`() {
        for (count, expected) in Self.reference { #expect(hash(bytes.prefix(count)) == expected, "\(count) bytes") }
    }

    @Test func `the address of the bytes makes no difference`() {
        for (count, expected) in Self.reference {
            for padding in 0..<8 {
                let shifted = Array(repeating: 0xFF, count: padding) + bytes.prefix(count)
                let found = shifted.withUnsafeBytes { XXHash64.hash(of: .init(rebasing: $0[padding...])) }
                #expect(found == expected)
            }
        }
    }
}
