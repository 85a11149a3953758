import History
import Testing

/// What readers record, as bytes.
@Suite struct ReadRecordTests {
    private static let records: [ReadRecord] = [
        .meaning(Digest(of: "11@v"), "11@v"),
        .lookup(
            Lookup(
                began: at(1.5),
                ended: at(2),
                trust: .degraded,
                token: .max,
                answers: [
                    .init(key: HistoryKey(detector: 11, environment: 5), source: .near, digest: Digest(of: "11@v")),
                    .init(key: HistoryKey(detector: 65_535, environment: 0), source: .loaded, digest: Digest(of: "")),
                ]
            )
        ),
        .meaning(Digest(of: ""), ""),
    ]

    private static func decoded(_ bytes: [UInt8]) throws -> [ReadRecord] {
        var found: [ReadRecord] = []
        try ReadRecord.decode(bytes) { found.append($0) }
        return found
    }

    @Test func `records come back as they were`() throws {
        var bytes: [UInt8] = []
        for record in Self.records { record.encode(into: &bytes) }
        #expect(try Self.decoded(bytes) == Self.records)
    }

    @Test func `of a file that ends in the middle of a record the whole ones count`() throws {
        var ends: [Int] = []
        var bytes: [UInt8] = []
        for record in Self.records {
            record.encode(into: &bytes)
            ends.append(bytes.count)
        }
        for count in 0...bytes.count {
            let whole = ends.count { $0 <= count }
            #expect(try Self.decoded(Array(bytes[..<count])) == Array(Self.records[..<whole]))
        }
    }

    @Test func `bytes that no reader wrote are refused`() {
        #expect(throws: ReadRecord.Malformed.self) { try Self.decoded([7, 0, 0]) }
        #expect(throws: ReadRecord.Malformed.self) { try Self.decoded([1, 9] + Array(repeating: 0, count: 40)) }
    }
}
