import Glibc
import History
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

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

    @Test func `a start after a kill adds nothing to what was cut short`() throws {
        var template = Array("/tmp/freshet-test-XXXXXX".utf8CString)
        try #require(mkdtemp(&template) != nil)
        let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var bytes: [UInt8] = []
        for record in Self.records { record.encode(into: &bytes) }

        // In the middle of the second record.
        try RecordFile(nextOf: "\(folder)/read").append(Array(bytes.dropLast(20)))
        try RecordFile(nextOf: "\(folder)/read").append(bytes)

        let paths = RecordFile.paths(of: "\(folder)/read")
        let starts = try paths.map { try Self.decoded(RecordFile.contents(of: $0)) }
        #expect(starts == [Array(Self.records.prefix(1)), Self.records])
        #expect(throws: RecordFailure.self) { try RecordFile(path: paths[0]) }
    }

    @Test func `bytes that no reader wrote are refused`() {
        #expect(throws: ReadRecord.Malformed.self) { try Self.decoded([7, 0, 0]) }
        #expect(throws: ReadRecord.Malformed.self) { try Self.decoded([1, 9] + Array(repeating: 0, count: 40)) }
    }
}
