// The columns of a workflow, as they lie in an entry of the cache `workflows`. All integers are little-endian.
//
//     offset  length  content
//          0       8  id
//          8       8  organization_id
//         16       8  date_added, microseconds since 1970
//         24       8  date_updated, microseconds since 1970
//         32       2  status
//         34       1  1 where enabled
//         35       1  which of the following five are there: bit 0 environment_id, 1 when_condition_group_id,
//                     2 owner_user_id, 3 owner_team_id, 4 created_by_id
//         36  8 each  those that are there, in that order
//              4 + n  name: its length in UTF-8, and its UTF-8
//              4 + n  config, likewise
//
// A workflow *is* these bytes: what is cached is checked when it is read, and a column is taken out of it when somebody asks for it.
// Of most workflows of most answers nobody asks for more than two columns, and to unpack them all, two strings and two dates among
// them, took as long as Redis did to send them. The bytes are those of the reply, and not copied.

import Keyspace

/// One workflow's columns in their binary form.
struct WorkflowRecord: Sendable {
    /// Starts with the id and ends with the config.
    let bytes: ArraySlice<UInt8>

    private enum Offset {
        static let id = 0
        static let organizationID = 8
        static let dateAdded = 16
        static let dateUpdated = 24
        static let status = 32
        static let isEnabled = 34
        static let present = 35
        static let optionals = 36
    }

    /// The columns that may be absent, by their bits.
    enum Optionals {
        static let environmentID: UInt8 = 1
        static let whenConditionGroupID: UInt8 = 2
        static let ownerUserID: UInt8 = 4
        static let ownerTeamID: UInt8 = 8
        static let createdByID: UInt8 = 16
        static let all: UInt8 = 31
    }

    /// The shortest record: no optional column, and two texts without a byte.
    static let shortestLength = Offset.optionals + 2 * 4

    /// - Parameter bytes: As many as ``length(in:)`` says.
    init(bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
    }

    /// How long the columns are with which some bytes begin; nil where one is not there, or a text is not UTF-8.
    static func length(in bytes: UnsafeRawBufferPointer) -> Int? {
        guard bytes.count >= shortestLength else { return nil }
        var length = Offset.optionals + 8 * (bytes[Offset.present] & Optionals.all).nonzeroBitCount
        for _ in 0..<2 {
            guard bytes.count - length >= 4 else { return nil }
            let count = Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: length, as: UInt32.self)))
            length += 4
            guard count <= bytes.count - length,
                UnsafeRawBufferPointer(rebasing: bytes[length..<length + count]).isUTF8
            else { return nil }
            length += count
        }
        return length
    }

    /// The columns of a row.
    ///
    /// - Parameter optionals: In the order of their bits.
    init(
        id: Int64,
        organizationID: Int64,
        dateAdded: Int64,
        dateUpdated: Int64,
        status: Int16,
        isEnabled: Bool,
        optionals: [Int64?],
        name: String,
        config: String
    ) {
        var writer = ByteWriter(
            capacity: Self.shortestLength + 8 * optionals.count + name.utf8.count + config.utf8.count
        )
        writer.write(id)
        writer.write(organizationID)
        writer.write(dateAdded)
        writer.write(dateUpdated)
        writer.write(status)
        writer.write(UInt8(isEnabled ? 1 : 0))
        writer.write(optionals.enumerated().reduce(UInt8(0)) { $1.element == nil ? $0 : $0 | 1 << UInt8($1.offset) })
        for case let id? in optionals { writer.write(id) }
        writer.write(name)
        writer.write(config)
        bytes = writer.bytes[...]
    }

    var id: Int64 { integer(at: Offset.id) }
    var organizationID: Int64 { integer(at: Offset.organizationID) }
    var dateAdded: Int64 { integer(at: Offset.dateAdded) }
    var dateUpdated: Int64 { integer(at: Offset.dateUpdated) }
    var status: Int16 { integer(at: Offset.status) }
    var isEnabled: Bool { integer(at: Offset.isEnabled) == (1 as UInt8) }
    var name: ArraySlice<UInt8> { text(at: textOffset) }
    var config: ArraySlice<UInt8> { text(at: textOffset + 4 + Int(integer(at: textOffset) as UInt32)) }

    /// The column of a bit of ``Optionals``.
    func optional(_ bit: UInt8) -> Int64? {
        guard present & bit != 0 else { return nil }
        return integer(at: Offset.optionals + 8 * (present & (bit - 1)).nonzeroBitCount)
    }

    /// Without the bits that a later version may have set for columns of its own.
    private var present: UInt8 { integer(at: Offset.present) & Optionals.all }
    private var textOffset: Int { Offset.optionals + 8 * present.nonzeroBitCount }

    private func text(at offset: Int) -> ArraySlice<UInt8> {
        let start = bytes.startIndex + offset + 4
        return bytes[start..<start + Int(integer(at: offset) as UInt32)]
    }

    private func integer<Integer: FixedWidthInteger & BitwiseCopyable>(at offset: Int) -> Integer {
        // A pointer for the length of the call, because nothing else loads several bytes at once from any address; that they are
        // there is checked by the buffer, and was made sure of when the record was made.
        bytes.withUnsafeBytes { Integer(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: Integer.self)) }
    }
}

extension WorkflowRecord: Hashable {
    /// Whether all columns that this version knows are equal, texts byte for byte.
    static func == (left: WorkflowRecord, right: WorkflowRecord) -> Bool {
        left.isEnabled == right.isEnabled && left.present == right.present
            && left.bytes.prefix(Offset.isEnabled) == right.bytes.prefix(Offset.isEnabled)
            && left.bytes.dropFirst(Offset.optionals) == right.bytes.dropFirst(Offset.optionals)
    }

    func hash(into hasher: inout Hasher) {
        hasher.combine(id)
        hasher.combine(dateUpdated)
    }
}
