import Foundation
import Testing

@testable import ChangeFeed

/// The words that a record may have for tables and operations, held against those that write them.
struct ChangeWordsTests {
    private static let root = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    private func matches<Output>(_ pattern: Regex<Output>, in text: String) -> [Output] {
        text.matches(of: pattern).map(\.output)
    }

    @Test func `the tables and operations that records may name are those of the schema, and the worker's own`() throws
    {
        let schema = try String(contentsOf: Self.root.appending(path: "sql/schema.sql"), encoding: .utf8)
        let folder = Self.root.appending(path: "sql")
        let migrations = try FileManager.default.contentsOfDirectory(atPath: folder.path)
            .filter { $0.hasPrefix("m0") }
            .map { try String(contentsOf: folder.appending(path: $0), encoding: .utf8) }
            .joined()
        // The tables of the caches, and what is journaled of no table.
        var tables = Set(matches(/\('[a-z]+', \d, '([a-z_]+)', '\{/, in: migrations).map { String($0.1) })
        #expect(tables.count > 5)
        let journaled =
            matches(/journal\([^,()]+, '?([@a-z._]+)'?, '([a-z]+)'/, in: schema).map { ($0.1, $0.2) }
            + matches(/VALUES \('[@a-z]+', '([@a-z_]+)', '([@a-z]+)'/, in: schema).map { ($0.1, $0.2) }
        #expect(journaled.count > 10)
        // What is no word is put in when a trigger is made, or said when it runs.
        tables.formUnion(journaled.map { String($0.0) }.filter { $0.allSatisfy { $0.isLowercase } })
        var operations = Set(journaled.map { String($0.1) }.filter { !$0.contains("@") })
        let events = try #require(matches(/events <@ ARRAY\[([^\]]+)\]/, in: migrations).first)
        operations.formUnion(events.1.matches(of: /'([a-z]+)'/).map { String($0.output.1) })
        let records = try String(
            contentsOf: Self.root.appending(path: "Sources/ChangeFeed/AppliedChange+Report.swift"),
            encoding: .utf8
        )
        operations.formUnion(matches(/special\("([a-z]+)"/, in: records).map { String($0.1) })
        #expect(Set(AppliedChange.tables) == tables.union([AppliedChange.several]))
        #expect(Set(AppliedChange.operations) == operations.union([AppliedChange.several]))
    }

    @Test func `they are all explained where the record is`() throws {
        let text = try String(
            contentsOf: Self.root.appending(path: "Sources/ChangeFeed/AppliedChange.swift"),
            encoding: .utf8
        )
        for (row, words) in [("table", AppliedChange.tables), ("operation", AppliedChange.operations)] {
            let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("// | `\(row)` |") })
            for word in words { #expect(line.contains("`\(word)`"), "\(word)") }
        }
    }
}
