import History

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What writers did, line by line.
struct WriterLog: Sendable {
    let file: RecordFile

    func add(_ record: WriterRecord) throws {
        try file.append(Array(try JSONEncoder().encode(record)) + [UInt8(ascii: "\n")])
    }

    /// All that the file of one start holds.
    ///
    /// A last line that is not whole says nothing: its COMMIT was never sent, or counts as one whose outcome nobody was told.
    static func records(in path: String) throws -> [WriterRecord] {
        let bytes = try RecordFile.contents(of: path)
        let decoder = JSONDecoder()
        guard let end = bytes.lastIndex(of: UInt8(ascii: "\n")) else { return [] }
        return try bytes[..<end].split(separator: UInt8(ascii: "\n")).map { line in
            try decoder.decode(WriterRecord.self, from: Data(line))
        }
    }
}
