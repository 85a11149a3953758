// The payload of an entry of the cache `workflows`: a set of workflows. All integers are little-endian.
//
//     4 bytes  number of workflows
//     for each:
//       4 bytes  length of what follows
//       …        the columns; see WorkflowRecord
//       …        columns that a later version adds
//
// A later version adds a column behind the last one. Readers of this version skip it, thanks to the length; the later
// version's reader finds the end of the record in its place, in records of this version, and takes the column's default.
// So neither needs the other's entries to be flushed.
//
// The entry around it is versioned and carries a checksum; see EntryCodec.

package import Keyspace

/// Turns sets of workflows into bytes and back.
package enum WorkflowCodec {
    package static func encode(_ workflows: [Workflow]) -> [UInt8] {
        var writer = ByteWriter(capacity: 4 + workflows.reduce(0) { $0 + 4 + $1.record.bytes.count })
        writer.write(UInt32(workflows.count))
        for workflow in workflows {
            writer.writeRecord { encode(workflow, to: &$0) }
        }
        return writer.bytes
    }

    package static func decode(_ bytes: ArraySlice<UInt8>) throws(EntryDamage) -> [Workflow] {
        // Pointers for the length of the call, because each slice of a slice would retain the array; all of them are checked.
        let workflows = bytes.withUnsafeBytes { buffer -> [Workflow]? in
            func length(at offset: Int) -> Int? {
                guard buffer.count - offset >= 4 else { return nil }
                return Int(UInt32(littleEndian: buffer.loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
            }
            // A count that cannot be true is damage, and must not reserve memory.
            guard let count = length(at: 0), count <= buffer.count / (4 + WorkflowRecord.shortestLength) else {
                return nil
            }
            var workflows: [Workflow] = []
            workflows.reserveCapacity(count)
            var offset = 4
            for _ in 0..<count {
                guard let size = length(at: offset), size <= buffer.count - offset - 4 else { return nil }
                offset += 4
                let record = UnsafeRawBufferPointer(rebasing: buffer[offset..<offset + size])
                guard let known = WorkflowRecord.length(in: record) else { return nil }
                let start = bytes.startIndex + offset
                workflows.append(Workflow(WorkflowRecord(bytes: bytes[start..<start + known])))
                offset += size
            }
            return offset == buffer.count ? workflows : nil
        }
        guard let workflows else { throw .malformed }
        return workflows
    }

    /// Writes the columns of this version.
    static func encode(_ workflow: Workflow, to writer: inout ByteWriter) {
        writer.write(bytes: workflow.record.bytes)
    }
}
