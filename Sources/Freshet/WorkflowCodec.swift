// The payload of an entry of the cache `workflows`: a set of workflows. All integers are little-endian.
//
//     4 bytes  number of workflows
//     for each:
//       4 bytes  length of what follows
//       8        id
//       8        organization_id
//       8        date_added, microseconds since 1970
//       8        date_updated, microseconds since 1970
//       2        status
//       1        1 where enabled
//       1        which of the following five are there: bit 0 environment_id, 1 when_condition_group_id,
//                2 owner_user_id, 3 owner_team_id, 4 created_by_id
//       8 each   those that are there, in that order
//       4 + n    name: its length in UTF-8, and its UTF-8
//       4 + n    config, likewise
//       …        columns that a later version adds: skipped, thanks to the length
//
// The entry around it is versioned and carries a checksum; see EntryCodec.

import Keyspace

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Turns sets of workflows into bytes and back.
enum WorkflowCodec {
    static func encode(_ workflows: [Workflow]) -> [UInt8] {
        var writer = ByteWriter(capacity: 4 + workflows.count * 160)
        writer.write(UInt32(workflows.count))
        for workflow in workflows {
            let record = encode(workflow)
            writer.write(UInt32(record.count))
            writer.write(bytes: record)
        }
        return writer.bytes
    }

    static func decode(_ bytes: ArraySlice<UInt8>) throws(EntryDamage) -> [Workflow] {
        var reader = ByteReader(bytes)
        // A record has 36 bytes at the least: a count beyond that is damage, and must not reserve memory.
        guard let count = reader.readUInt32(), Int(count) <= bytes.count / 36 else { throw .malformed }
        var workflows: [Workflow] = []
        workflows.reserveCapacity(Int(count))
        for _ in 0..<count {
            guard let length = reader.readUInt32(), let record = reader.readBytes(count: Int(length)),
                let workflow = decodeRecord(record)
            else { throw .malformed }
            workflows.append(workflow)
        }
        guard reader.rest.isEmpty else { throw .malformed }
        return workflows
    }

    private static func encode(_ workflow: Workflow) -> [UInt8] {
        let optionals = [
            workflow.environmentID, workflow.whenConditionGroupID, workflow.ownerUserID, workflow.ownerTeamID,
            workflow.createdByID,
        ]
        var writer = ByteWriter(capacity: 84 + workflow.name.utf8.count + workflow.config.utf8.count)
        writer.write(workflow.id)
        writer.write(workflow.organizationID)
        writer.write(workflow.dateAdded.microsecondsSince1970)
        writer.write(workflow.dateUpdated.microsecondsSince1970)
        writer.write(workflow.status)
        writer.write(UInt8(workflow.isEnabled ? 1 : 0))
        writer.write(
            optionals.enumerated().reduce(UInt8(0)) { bits, pair in pair.element == nil ? bits : bits | 1 << pair.offset
            }
        )
        for case let value? in optionals { writer.write(value) }
        writer.write(workflow.name)
        writer.write(workflow.config)
        return writer.bytes
    }

    private static func decodeRecord(_ bytes: ArraySlice<UInt8>) -> Workflow? {
        var reader = ByteReader(bytes)
        guard let id = reader.readInt64(), let organizationID = reader.readInt64(),
            let dateAdded = reader.readInt64(), let dateUpdated = reader.readInt64(),
            let status = reader.readUInt16(), let enabled = reader.readUInt8(), let present = reader.readUInt8()
        else { return nil }
        var isComplete = true
        func optional(_ bit: UInt8) -> Int64? {
            guard present & (1 << bit) != 0 else { return nil }
            guard let value = reader.readInt64() else {
                isComplete = false
                return nil
            }
            return value
        }
        let environmentID = optional(0)
        let whenConditionGroupID = optional(1)
        let ownerUserID = optional(2)
        let ownerTeamID = optional(3)
        let createdByID = optional(4)
        guard isComplete, let name = reader.readString(), let config = reader.readString() else { return nil }
        return Workflow(
            id: id,
            name: name,
            isEnabled: enabled == 1,
            status: Int16(bitPattern: status),
            config: config,
            organizationID: organizationID,
            environmentID: environmentID,
            whenConditionGroupID: whenConditionGroupID,
            ownerUserID: ownerUserID,
            ownerTeamID: ownerTeamID,
            createdByID: createdByID,
            dateAdded: Date(microsecondsSince1970: dateAdded),
            dateUpdated: Date(microsecondsSince1970: dateUpdated)
        )
    }
}
