import Foundation
import Keyspace
import Testing

@testable import Freshet

struct DetectorCodecTests {
    private func detector(_ id: Int64, optionals: UInt8 = 0) -> Detector {
        func optional(_ bit: UInt8) -> Int64? { optionals & (1 << bit) == 0 ? nil : id * 10 + Int64(bit) }
        return Detector(
            id: id,
            name: "Detektör \(id)",
            type: "metric_issue",
            isEnabled: id % 2 == 0,
            status: -1,
            config: #"{"threshold": \#(id)}"#,
            description: optional(5).map { "number \($0)" },
            ownerUserID: optional(0),
            ownerTeamID: optional(1),
            createdByID: optional(2),
            workflowConditionGroupID: optional(3),
            projectID: optional(4),
            dateAdded: Date(microsecondsSince1970: 1_700_000_000_123_456),
            dateUpdated: Date(microsecondsSince1970: -1)
        )
    }

    @Test func `every combination of absent columns survives the way through the bytes`() throws {
        let detectors = (0..<64).map { detector(Int64($0), optionals: UInt8($0)) }
        #expect(try DetectorCodec.decode(DetectorCodec.encode(detectors)[...]) == detectors)
    }

    @Test func `an empty list is an answer, and so is a detector without a text`() throws {
        #expect(try DetectorCodec.decode(DetectorCodec.encode([])[...]) == [])
        var bare = detector(1)
        bare.name = ""
        bare.type = ""
        bare.config = ""
        #expect(try DetectorCodec.decode(DetectorCodec.encode([bare])[...]) == [bare])
    }

    @Test func `a column that a later version adds is skipped`() throws {
        var bytes = DetectorCodec.encode([detector(1, optionals: 63)])
        let length = bytes.count - 8
        bytes += [1, 2, 3]
        bytes.replaceSubrange(4..<8, with: withUnsafeBytes(of: UInt32(length + 3).littleEndian) { Array($0) })
        #expect(try DetectorCodec.decode(bytes[...]) == [detector(1, optionals: 63)])
    }

    @Test func `what is cut short or goes on is damage`() {
        let bytes = DetectorCodec.encode([detector(1, optionals: 63), detector(2)])
        for count in 0..<bytes.count {
            #expect(throws: EntryDamage.self) { try DetectorCodec.decode(bytes[..<count]) }
        }
        #expect(throws: EntryDamage.self) { try DetectorCodec.decode((bytes + [0])[...]) }
        #expect(throws: EntryDamage.self) { try DetectorCodec.decode([0xFF, 0xFF, 0xFF, 0xFF]) }
    }

    @Test func `keys are equal where their bytes are`() {
        let composed = DataSourceKey(type: "t", sourceID: "\u{E9}")
        let decomposed = DataSourceKey(type: "t", sourceID: "e\u{301}")
        #expect(composed.sourceID == decomposed.sourceID)
        #expect(composed != decomposed)
        #expect(Set([composed, decomposed, DataSourceKey(type: "t", sourceID: "\u{E9}")]).count == 2)
    }
}
