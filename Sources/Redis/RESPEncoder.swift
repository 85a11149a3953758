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

    init() {}

    /// An encoder with the room for some commands.
    init(for commands: [RedisCommand]) throws(RedisError) {
        let byteCount = commands.reduce(0) { $0 + Self.headerLength + $1.parts.byteCount }
        // Before any of it is copied; a buffer of more than 4 GiB would trap.
        guard byteCount <= Self.maximumByteCount else {
            let names = Set(commands.map(\.name)).sorted().joined(separator: ", ")
            throw RedisError(.commandTooLarge, "\(names): \(byteCount) bytes at once are too many; send less at a time")
        }
        buffer.reserveCapacity(byteCount)
    }

    /// Adds a command.
    mutating func encode(_ command: RedisCommand) throws(RedisError) {
        guard command.parts.byteCount <= Self.maximumByteCount else {
            throw RedisError(.commandTooLarge, "\(command.name) with \(command.parts.byteCount) bytes is too large")
        }
        // Pointers for the length of the call, because a buffer checks each write for its room; there is enough for all.
        let bound = Self.headerLength + command.parts.byteCount
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: bound) { output in
            output[0] = UInt8(ascii: "*")
            var offset = 1
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
            return offset + command.parts.byteCount
        }
    }
}
