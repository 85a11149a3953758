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

    /// All that a file holds; a last line that is not whole was about a COMMIT that was never sent.
    static func records(in path: String) throws -> [WriterRecord] {
        let bytes = try RecordFile.contents(of: path)
        let decoder = JSONDecoder()
        guard let end = bytes.lastIndex(of: UInt8(ascii: "\n")) else { return [] }
        return try bytes[..<end].split(separator: UInt8(ascii: "\n")).compactMap { line in
            do {
                return try decoder.decode(WriterRecord.self, from: Data(line))
            } catch {
                // A killed process may have left half a line, to which the next one has added a whole one.
                guard let start = line.lastRange(of: Array(#"{"intent"#.utf8))?.lowerBound, start > line.startIndex
                else { throw error }
                return try decoder.decode(WriterRecord.self, from: Data(line[start...]))
            }
        }
    }
}

extension ArraySlice<UInt8> {
    /// Where some bytes stand for the last time.
    fileprivate func lastRange(of bytes: [UInt8]) -> Range<Int>? {
        guard count >= bytes.count else { return nil }
        for start in (startIndex...(endIndex - bytes.count)).reversed()
        where self[start..<start + bytes.count].elementsEqual(bytes) {
            return start..<start + bytes.count
        }
        return nil
    }
}
