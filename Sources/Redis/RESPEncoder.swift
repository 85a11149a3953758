internal import NIOCore

/// Writes commands in the protocol of Redis: each an array of bulk strings.
struct RESPEncoder {
    /// What has been encoded so far.
    private(set) var buffer = ByteBuffer()

    /// The most bytes that may be sent at once: as many as a server holds of one client's requests, unless told otherwise
    /// (`client-query-buffer-limit`).
    private static let maximumByteCount = 1 << 30
    /// What the beginning of an array takes at the most.
    private static let headerLength = 1 + 19 + 2
    /// As much memory is kept for what is encoded next; what needed more gives it back.
    ///
    /// Little, because where the server reads nothing, each turn leaves as much behind until it is written.
    private static let keptByteCount = 8 * 1024

    /// How many bytes some commands take at the most.
    ///
    /// - Throws: ``RedisError`` where they are too many for ``encode(_:bound:)``.
    static func bound(of commands: [RedisCommand]) throws(RedisError) -> Int {
        let bound = commands.reduce(0) { $0 + Self.headerLength + $1.parts.byteCount }
        // Before any of it is copied; a buffer of more than 4 GiB would trap.
        guard bound <= Self.maximumByteCount else {
            let names = Set(commands.map(\.name)).sorted().joined(separator: ", ")
            throw RedisError(.commandTooLarge, "\(names): \(bound) bytes at once are too many; send less at a time")
        }
        return bound
    }

    /// Adds some commands.
    ///
    /// - Parameter bound: What ``bound(of:)`` says of them.
    mutating func encode(_ commands: [RedisCommand], bound: Int) {
        // Pointers for the length of the call, because a buffer checks each write for its room; there is enough for all.
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: bound) { output in
            var offset = 0
            for command in commands {
                output[offset] = UInt8(ascii: "*")
                offset += 1
                var divisor = 1
                while command.parts.count / divisor >= 10 { divisor *= 10 }
                while divisor > 0 {
                    output[offset] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: command.parts.count / divisor % 10)
                    offset += 1
                    divisor /= 10
                }
                output[offset] = UInt8(ascii: "\r")
                output[offset + 1] = UInt8(ascii: "\n")
                offset += 2
                UnsafeMutableRawBufferPointer(rebasing: output[offset...]).copyBytes(from: command.parts.encoded)
                offset += command.parts.byteCount
            }
            return offset
        }
    }

    /// Begins anew, in the same memory where nobody else has it any more.
    mutating func clear() {
        if buffer.capacity > Self.keptByteCount { buffer = ByteBuffer() } else { buffer.clear() }
    }
}
