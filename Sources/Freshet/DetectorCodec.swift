// The payload of an entry of the cache `datasources`: a list of detectors. All integers are little-endian.
//
//     4 bytes  number of detectors
//     for each:
//       4 bytes  length of what follows
//       8        id
//       8        date_added, microseconds since 1970
//       8        date_updated, microseconds since 1970
//       2        status
//       1        1 where enabled
//       1        which of the following six are there: bit 0 owner_user_id, 1 owner_team_id, 2 created_by_id,
//                3 workflow_condition_group_id, 4 project_id, 5 description
//       8 each   those of the first five that are there, in that order
//       4 + n    name: its length in UTF-8, and its UTF-8
//       4 + n    type, likewise
//       4 + n    config, likewise
//       4 + n    description, likewise, if it is there
//       …        columns that a later version adds: skipped, thanks to the length
//
// The entry around it is versioned and carries a checksum; see EntryCodec.

package import Keyspace

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Turns lists of detectors into bytes and back.
package enum DetectorCodec {
    /// The shortest record: no optional column, and texts without a byte.
    private static let shortestRecord = 40

    package static func encode(_ detectors: [Detector]) -> [UInt8] {
        var writer = ByteWriter(capacity: 4 + detectors.count * 160)
        writer.write(UInt32(detectors.count))
        for detector in detectors {
            let record = encode(detector)
            writer.write(UInt32(record.count))
            writer.write(bytes: record)
        }
        return writer.bytes
    }

    package static func decode(_ bytes: ArraySlice<UInt8>) throws(EntryDamage) -> [Detector] {
        var reader = ByteReader(bytes)
        // A count beyond what the bytes can hold is damage, and must not reserve memory.
        guard let count = reader.readUInt32(), Int(count) <= bytes.count / shortestRecord else { throw .malformed }
        var detectors: [Detector] = []
        detectors.reserveCapacity(Int(count))
        for _ in 0..<count {
            guard let length = reader.readUInt32(), let record = reader.readBytes(count: Int(length)),
                let detector = decodeRecord(record)
            else { throw .malformed }
            detectors.append(detector)
        }
        guard reader.rest.isEmpty else { throw .malformed }
        return detectors
    }

    private static func encode(_ detector: Detector) -> [UInt8] {
        let numbers = [
            detector.ownerUserID, detector.ownerTeamID, detector.createdByID, detector.workflowConditionGroupID,
            detector.projectID,
        ]
        var present: UInt8 = detector.description == nil ? 0 : 1 << 5
        for (bit, number) in numbers.enumerated() where number != nil { present |= 1 << bit }
        var writer = ByteWriter(capacity: 96 + detector.name.utf8.count + detector.config.utf8.count)
        writer.write(detector.id)
        writer.write(detector.dateAdded.microsecondsSince1970)
        writer.write(detector.dateUpdated.microsecondsSince1970)
        writer.write(detector.status)
        writer.write(UInt8(detector.isEnabled ? 1 : 0))
        writer.write(present)
        for case let number? in numbers { writer.write(number) }
        writer.write(detector.name)
        writer.write(detector.type)
        writer.write(detector.config)
        if let description = detector.description { writer.write(description) }
        return writer.bytes
    }

    private static func decodeRecord(_ bytes: ArraySlice<UInt8>) -> Detector? {
        var reader = ByteReader(bytes)
        guard let id = reader.readInt64(), let dateAdded = reader.readInt64(), let dateUpdated = reader.readInt64(),
            let status = reader.readUInt16(), let enabled = reader.readUInt8(), let present = reader.readUInt8()
        else { return nil }
        var numbers: [Int64?] = []
        for bit in 0..<5 {
            guard present & (1 << bit) != 0 else {
                numbers.append(nil)
                continue
            }
            guard let number = reader.readInt64() else { return nil }
            numbers.append(number)
        }
        guard let name = reader.readString(), let type = reader.readString(), let config = reader.readString()
        else { return nil }
        var description: String?
        if present & (1 << 5) != 0 {
            guard let text = reader.readString() else { return nil }
            description = text
        }
        return Detector(
            id: id,
            name: name,
            type: type,
            isEnabled: enabled == 1,
            status: Int16(bitPattern: status),
            config: config,
            description: description,
            ownerUserID: numbers[0],
            ownerTeamID: numbers[1],
            createdByID: numbers[2],
            workflowConditionGroupID: numbers[3],
            projectID: numbers[4],
            dateAdded: Date(microsecondsSince1970: dateAdded),
            dateUpdated: Date(microsecondsSince1970: dateUpdated)
        )
    }
}
