import Keyspace

@testable import Freshet

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

extension FuzzTarget {
    /// What the entries hold, and what a writer hands to a reader.
    static let payloads: [FuzzTarget] = [workflows, detectors, token]

    static func workflow(_ id: Int64, optionals: UInt8) -> Workflow {
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

    private static func detector(_ id: Int64, optionals: UInt8) -> Detector {
        func optional(_ bit: UInt8) -> Int64? { optionals & (1 << bit) == 0 ? nil : id * 10 + Int64(bit) }
        return Detector(
            id: id,
            name: "Detektör \(id)",
            type: "metric_issue",
            isEnabled: true,
            status: 2,
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

    private static let workflows = FuzzTarget(
        name: "workflows",
        sound: [
            WorkflowCodec.encode([]),
            WorkflowCodec.encode([workflow(1, optionals: 0)]),
            WorkflowCodec.encode((0..<4).map { workflow($0, optionals: UInt8($0) * 9) }),
        ],
        parse: { bytes in
            let workflows: [Workflow]
            do { workflows = try WorkflowCodec.decode(bytes[...]) } catch { return false }
            try require(workflows.count <= bytes.count / 44, "\(workflows.count) workflows of \(bytes.count) bytes")
            let again = try WorkflowCodec.decode(WorkflowCodec.encode(workflows)[...])
            for (one, other) in zip(workflows, again) {
                try require(isSame(one.dateAdded, other.dateAdded), "another dateAdded")
                try require(isSame(one.dateUpdated, other.dateUpdated), "another dateUpdated")
                try require(one == other, "encodes to another workflow: \(one), \(other)")
            }
            return again.count == workflows.count
        }
    )

    private static let detectors = FuzzTarget(
        name: "detectors",
        sound: [
            DetectorCodec.encode([]),
            DetectorCodec.encode([detector(1, optionals: 0)]),
            DetectorCodec.encode((0..<4).map { detector($0, optionals: UInt8($0) * 21) }),
        ],
        parse: { bytes in
            let detectors: [Detector]
            do { detectors = try DetectorCodec.decode(bytes[...]) } catch { return false }
            try require(detectors.count <= bytes.count / 40, "\(detectors.count) detectors of \(bytes.count) bytes")
            let again = try DetectorCodec.decode(DetectorCodec.encode(detectors)[...])
            for (one, other) in zip(detectors, again) {
                var other = other
                try require(isSame(one.dateAdded, other.dateAdded), "another dateAdded")
                try require(isSame(one.dateUpdated, other.dateUpdated), "another dateUpdated")
                (other.dateAdded, other.dateUpdated) = (one.dateAdded, one.dateUpdated)
                try require(one == other, "encodes to another detector: \(one), \(other)")
            }
            return again.count == detectors.count
        }
    )

    /// A date is a `Double`: beyond the years that Postgres has, its microseconds are the nearest that it can say.
    private static func isSame(_ one: Date, _ other: Date) -> Bool {
        let difference = abs(one.timeIntervalSince1970 - other.timeIntervalSince1970)
        return difference <= abs(one.timeIntervalSince1970).ulp * 2
    }

    private static let token = FuzzTarget(
        name: "token",
        sound: ["7/1/a 42", "7/1/a 10:20:11,15", "7/1/- 1:1:"],
        words: [" ", ":", "/", ",", "18446744073709551616"],
        parse: { text in
            guard let token = ReadToken(text) else { return false }
            try require(ReadToken(token.description) == token, "another token as \(token)")
            try require(!token.isApplied(in: .absent), "\(token) is applied by nobody")
            return true
        }
    )
}
