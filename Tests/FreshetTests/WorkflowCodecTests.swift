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

    @Test func `a column that a later version adds is skipped`() throws {
        var bytes = WorkflowCodec.encode([workflow(1)])
        let length = bytes.count - 8
        bytes += [1, 2, 3]
        bytes.replaceSubrange(4..<8, with: withUnsafeBytes(of: UInt32(length + 3).littleEndian) { Array($0) })
        #expect(try WorkflowCodec.decode(bytes[...]) == [workflow(1)])
    }

    @Test func `every shorter piece is damage, never a trap`() {
        let bytes = WorkflowCodec.encode([workflow(1, optionals: 31), workflow(2)])
        for length in 0..<bytes.count {
            #expect(throws: EntryDamage.malformed) { try WorkflowCodec.decode(bytes[..<length]) }
        }
    }

    @Test func `random bytes are damage or workflows, never a trap and never a large allocation`() {
        for _ in 0..<5_000 {
            var bytes = (0..<Int.random(in: 0..<200)).map { _ in UInt8.random(in: 0...255) }
            if bytes.count >= 4, Bool.random() { bytes.replaceSubrange(0..<4, with: [1, 0, 0, 0]) }
            do {
                #expect(try WorkflowCodec.decode(bytes[...]).count <= 200)
            } catch {
                #expect(error == .malformed)
            }
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
