import Glibc
import History

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A folder for the records of one run.
final class RecordFolder: Sendable {
    let path: String

    init() throws {
        let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(parent)/records-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw RecordFailure(path: parent, number: errno) }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    func write(_ text: String, to name: String) throws {
        try RecordFile(path: "\(path)/\(name)").append(Array(text.utf8))
    }

    /// Copies it to where nothing is yet.
    func copy(to target: String) throws {
        let parent = URL(filePath: target).deletingLastPathComponent()
        try FileManager.default.createDirectory(at: parent, withIntermediateDirectories: true)
        try FileManager.default.copyItem(atPath: path, toPath: target)
    }

    func remove() {
        // What cannot be removed lies in the folder for what is temporary.
        try? FileManager.default.removeItem(atPath: path)
    }
}
