import Foundation
import Keyspace
import Testing

@testable import Freshet

struct WorkflowCodecTests {
    private func workflow(_ id: Int64, optionals: UInt8 = 0) -> Workflow {
        func optional(_ bit: UInt8) -> Int64? { optionals & (1 << bit) == 0 ? nil : id * 10 + Int64(bit) }
        return Workflow(
            id: id,
            name: "Wörkflow \(id)",
            isEnabled: true,
            status: -1,
            config: #"{"frequency": \#(id)}"#,
            organizationID: .max,
            environmentID: optional(0),
            whenConditionGroupID: optional(1),
            ownerUserID: optional(2),
            ownerTeamID: optional(3),
            createdByID: optional(4),
            dateAdded: Date(microsecondsSince1970: 1_700_000_000_123_456),
            dateUpdated: Date(microsecondsSince1970: -1)
        )
    }

    @Test func `every combination of absent columns survives the way through the bytes`() throws {
        let workflows = (0..<32).map { workflow(Int64($0), optionals: UInt8($0)) }
        #expect(try WorkflowCodec.decode(WorkflowCodec.encode(workflows)[...]) == workflows)
    }

    @Test func `an empty set is an answer`() throws {
        #expect(try WorkflowCodec.decode(WorkflowCodec.encode([])[...]) == [])
    }

    /// A version to come: it adds two columns, the second of which may be absent.
    private struct Later: Equatable {
        var workflow: Workflow
        var priority: Int64 = 100
        var note: String?

        static func encode(_ workflows: [Later]) -> [UInt8] {
            var writer = ByteWriter()
            writer.write(UInt32(workflows.count))
            for later in workflows {
                writer.writeRecord { record in
                    WorkflowCodec.encode(later.workflow, to: &record)
                    record.write(later.priority)
                    record.write(UInt8(later.note == nil ? 0 : 1))
                    if let note = later.note { record.write(note) }
                }
            }
            return writer.bytes
        }

        static func decode(_ bytes: [UInt8]) -> [Later]? {
            var reader = ByteReader(bytes[...])
            guard let count = reader.readUInt32() else { return nil }
            return (0..<count).compactMap { _ in
                guard var record = reader.readRecord(),
                    let length = record.rest.withUnsafeBytes({ WorkflowRecord.length(in: $0) }),
                    let columns = record.readBytes(count: length)
                else { return nil }
                var later = Later(workflow: Workflow(WorkflowRecord(bytes: columns)))
                if record.isAtEnd { return later }
                guard let priority = record.readInt64(), let present = record.readUInt8() else { return nil }
                later.priority = priority
                if present == 1 { later.note = record.readString() }
                return later
            }
        }
    }

    @Test func `a reader of today reads what a later version writes, without its columns`() throws {
        let later = [
            Later(workflow: workflow(1, optionals: 31), priority: 7, note: "nötig"), Later(workflow: workflow(2)),
        ]
        #expect(try WorkflowCodec.decode(Later.encode(later)[...]) == later.map(\.workflow))
        #expect(Later.decode(Later.encode(later)) == later)
    }

    @Test func `a reader of a later version reads what is cached today, with the defaults of its columns`() {
        let workflows = [workflow(1, optionals: 31), workflow(2)]
        #expect(Later.decode(WorkflowCodec.encode(workflows)) == workflows.map { Later(workflow: $0) })
    }

    @Test func `a payload is read at any address`() throws {
        let workflows = [workflow(1, optionals: 9), workflow(2, optionals: 31)]
        for padding in 0..<9 {
            let bytes = Array(repeating: 0xFF, count: padding) + WorkflowCodec.encode(workflows) + [0xFF, 0xFF]
            #expect(try WorkflowCodec.decode(bytes[padding..<(bytes.count - 2)]) == workflows)
        }
    }

    @Test func `every shorter piece is damage, never a trap`() {
        let bytes = WorkflowCodec.encode([workflow(1, optionals: 31), workflow(2)])
        for length in 0..<bytes.count {
            #expect(throws: EntryDamage.malformed) { try WorkflowCodec.decode(bytes[..<length]) }
        }
    }

    @Test func `a count or a length that claims everything reserves nothing`() {
        let sound = WorkflowCodec.encode([workflow(1, optionals: 31)])
        let name = 4 + 4 + 36 + 5 * 8
        for place in [0, 4, name] {
            var bytes = sound
            bytes.replaceSubrange(place..<place + 4, with: [0xFF, 0xFF, 0xFF, 0xFF])
            #expect(throws: EntryDamage.malformed) { try WorkflowCodec.decode(bytes[...]) }
        }
    }

    @Test func `dates keep their microseconds`() {
        for microseconds in [0, 1, -1, 1_700_000_000_999_999, 253_402_300_799_999_999] as [Int64] {
            let date = Date(microsecondsSince1970: microseconds)
            #expect(abs(date.microsecondsSince1970 - microseconds) <= (microseconds > 1 << 53 ? 64 : 0))
        }
    }

    @Test func `config decodes as a type of the caller's`() throws {
        struct Config: Decodable { var frequency: Int }
        #expect(try workflow(7).decodeConfig(as: Config.self).frequency == 7)
    }
}
