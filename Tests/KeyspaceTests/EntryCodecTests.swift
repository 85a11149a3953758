import Keyspace
import Testing

struct EntryCodecTests {
    private static let stamp = EntryStamp(
        namespace: Generation(counter: 1, nonce: 2),
        entity: Generation(counter: 3, nonce: 4),
        variant: Generation(counter: 5, nonce: 6),
        readAt: RedisTime(microseconds: 1_700_000_000_123_456)
    )

    @Test func `an entry survives the way through its bytes`() throws {
        for variant in [Self.stamp.variant, nil] {
            for payload in [[], [1], Array(0...255)] as [[UInt8]] {
                var stamp = Self.stamp
                stamp.variant = variant
                let entry = Entry(stamp: stamp, payload: payload[...])
                let bytes = EntryCodec.encode(entry)
                #expect(bytes.count == payload.count + EntryCodec.overhead)
                #expect(try EntryCodec.decode(bytes) == entry)
            }
        }
    }

    @Test func `the layout is the one that is documented`() {
        let bytes = EntryCodec.encode(Entry(stamp: Self.stamp, payload: [0xAA, 0xBB]))
        #expect(bytes[0] == 0x46)
        #expect(bytes[1] == 2)
        #expect(bytes[2..<18].elementsEqual([1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]))
        #expect(bytes[18] == 3)
        #expect(bytes[34] == 5)
        #expect(bytes[58..<62].elementsEqual([2, 0, 0, 0]))
        #expect(bytes[62..<64].elementsEqual([0xAA, 0xBB]))
        // The lower half of XXH64 of the 64 bytes before, by the reference implementation.
        #expect(bytes[64...].elementsEqual([0x03, 0x8E, 0xDC, 0x07]))
    }

    @Test func `every single damaged bit is noticed`() throws {
        let bytes = EntryCodec.encode(Entry(stamp: Self.stamp, payload: Array("workflows".utf8)[...]))
        for bit in 0..<bytes.count * 8 {
            var damaged = bytes
            damaged[bit / 8] ^= 1 << (bit % 8)
            #expect(throws: EntryDamage.self) { try EntryCodec.decode(damaged) }
        }
    }

    @Test func `every shorter and longer piece is noticed`() throws {
        let bytes = EntryCodec.encode(Entry(stamp: Self.stamp, payload: Array("workflows".utf8)[...]))
        for length in 0..<bytes.count {
            #expect(throws: EntryDamage.self) { try EntryCodec.decode(Array(bytes.prefix(length))) }
        }
        #expect(throws: EntryDamage.wrongLength) { try EntryCodec.decode(bytes + [0]) }
    }

    @Test func `an unknown version is told by its number`() {
        var bytes = EntryCodec.encode(Entry(stamp: Self.stamp, payload: []))
        bytes[1] = 9
        #expect(throws: EntryDamage.unknownVersion(9)) { try EntryCodec.decode(bytes) }
        #expect(throws: EntryDamage.notAnEntry) { try EntryCodec.decode(Array("{\"json\":true}".utf8)) }
    }
}
