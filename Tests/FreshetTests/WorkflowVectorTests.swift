import Foundation
import Keyspace
import Testing

@testable import Freshet

/// The payloads among the vectors for implementers in other languages.
struct WorkflowVectorTests {
    private struct Vectors: Decodable {
        struct Columns: Decodable {
            var id, name, config, organizationID, dateAdded, dateUpdated: String
            var isEnabled: Bool
            var status: Int16
            var environmentID, whenConditionGroupID, ownerUserID, ownerTeamID, createdByID: String?
        }
        struct Payload: Decodable {
            var about, bytes: String
            var workflows: [Columns]
            var isWrittenToday: Bool
        }
        struct NoPayload: Decodable { var about, bytes: String }

        var workflows: [Payload]
        var noWorkflows: [NoPayload]
    }

    private let vectors: Vectors

    init() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let file = root.appending(path: "Sources/Freshet/Freshet.docc/Resources/keyspace-vectors.json")
        vectors = try JSONDecoder().decode(Vectors.self, from: Data(contentsOf: file))
    }

    private func bytes(_ hexadecimal: String) throws -> [UInt8] {
        let digits = Array(hexadecimal)
        return try stride(from: 0, to: digits.count, by: 2).map { index in
            try #require(UInt8(String(digits[index...index + 1]), radix: 16))
        }
    }

    private func workflow(_ columns: Vectors.Columns) throws -> Workflow {
        func number(_ text: String) throws -> Int64 { try #require(Int64(text)) }
        return Workflow(
            id: try number(columns.id),
            name: columns.name,
            isEnabled: columns.isEnabled,
            status: columns.status,
            config: columns.config,
            organizationID: try number(columns.organizationID),
            environmentID: try columns.environmentID.map(number),
            whenConditionGroupID: try columns.whenConditionGroupID.map(number),
            ownerUserID: try columns.ownerUserID.map(number),
            ownerTeamID: try columns.ownerTeamID.map(number),
            createdByID: try columns.createdByID.map(number),
            dateAdded: Date(microsecondsSince1970: try number(columns.dateAdded)),
            dateUpdated: Date(microsecondsSince1970: try number(columns.dateUpdated))
        )
    }

    @Test func `workflows are those of the vectors, to the byte`() throws {
        #expect(!vectors.workflows.isEmpty)
        for vector in vectors.workflows {
            let workflows = try vector.workflows.map(workflow)
            let bytes = try bytes(vector.bytes)
            #expect(try WorkflowCodec.decode(bytes[...]) == workflows, "\(vector.about)")
            if vector.isWrittenToday { #expect(WorkflowCodec.encode(workflows) == bytes, "\(vector.about)") }
        }
    }

    @Test func `what the vectors call damage is damage`() throws {
        #expect(!vectors.noWorkflows.isEmpty)
        for vector in vectors.noWorkflows {
            let bytes = try bytes(vector.bytes)
            #expect(throws: EntryDamage.malformed, "\(vector.about)") { try WorkflowCodec.decode(bytes[...]) }
        }
    }
}
