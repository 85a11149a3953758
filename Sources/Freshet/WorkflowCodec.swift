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
//       …        columns that a later version adds
//
// A later version adds a column behind the last one. Readers of this version skip it, thanks to the length; the later
// version's reader finds the end of the record in its place, in records of this version, and takes the column's default.
// So neither needs the other's entries to be flushed.
//
// The entry around it is versioned and carries a checksum; see EntryCodec.

package import Keyspace

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Turns sets of workflows into bytes and back.
package enum WorkflowCodec {
    /// The bytes that a record has at the least, its length included.
    private static let smallestRecord = 48

    package static func encode(_ workflows: [Workflow]) -> [UInt8] {
        let text = workflows.reduce(0) { sum, workflow in sum + workflow.name.utf8.count + workflow.config.utf8.count }
        var writer = ByteWriter(capacity: 4 + text + workflows.count * (smallestRecord + 5 * 8))
        writer.write(UInt32(workflows.count))
        for workflow in workflows {
            writer.writeRecord { encode(workflow, to: &$0) }
        }
        return writer.bytes
    }

    package static func decode(_ bytes: ArraySlice<UInt8>) throws(EntryDamage) -> [Workflow] {
        var reader = ByteReader(bytes)
        // A count that cannot be true is damage, and must not reserve memory.
        guard let count = reader.readUInt32(), Int(count) <= bytes.count / smallestRecord else { throw .malformed }
        var workflows: [Workflow] = []
        workflows.reserveCapacity(Int(count))
        for _ in 0..<count {
            guard var record = reader.readRecord(), let workflow = decode(&record) else { throw .malformed }
            workflows.append(workflow)
        }
        guard reader.isAtEnd else { throw .malformed }
        return workflows
    }

    /// Writes the columns of this version.
    static func encode(_ workflow: Workflow, to writer: inout ByteWriter) {
        writer.write(workflow.id)
        writer.write(workflow.organizationID)
        writer.write(workflow.dateAdded.microsecondsSince1970)
        writer.write(workflow.dateUpdated.microsecondsSince1970)
        writer.write(workflow.status)
        writer.write(UInt8(workflow.isEnabled ? 1 : 0))
        var present: UInt8 = 0
        if workflow.environmentID != nil { present |= 1 }
        if workflow.whenConditionGroupID != nil { present |= 2 }
        if workflow.ownerUserID != nil { present |= 4 }
        if workflow.ownerTeamID != nil { present |= 8 }
        if workflow.createdByID != nil { present |= 16 }
        writer.write(present)
        if let id = workflow.environmentID { writer.write(id) }
        if let id = workflow.whenConditionGroupID { writer.write(id) }
        if let id = workflow.ownerUserID { writer.write(id) }
        if let id = workflow.ownerTeamID { writer.write(id) }
        if let id = workflow.createdByID { writer.write(id) }
        writer.write(workflow.name)
        writer.write(workflow.config)
    }

    /// Reads the columns of this version, and leaves the reader behind them; nil where one is not there.
    static func decode(_ reader: inout ByteReader) -> Workflow? {
        guard let id = reader.readInt64(), let organizationID = reader.readInt64(),
            let dateAdded = reader.readInt64(), let dateUpdated = reader.readInt64(),
            let status = reader.readUInt16(), let enabled = reader.readUInt8(), let present = reader.readUInt8(),
            reader.count >= 8 * (present & 0b11111).nonzeroBitCount
        else { return nil }
        // None of these is nil for want of bytes: the guard has counted them.
        let environmentID = present & 1 == 0 ? nil : reader.readInt64()
        let whenConditionGroupID = present & 2 == 0 ? nil : reader.readInt64()
        let ownerUserID = present & 4 == 0 ? nil : reader.readInt64()
        let ownerTeamID = present & 8 == 0 ? nil : reader.readInt64()
        let createdByID = present & 16 == 0 ? nil : reader.readInt64()
        guard let name = reader.readString(), let config = reader.readString() else { return nil }
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
