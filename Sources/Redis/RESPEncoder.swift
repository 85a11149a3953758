internal import CHiredis
internal import NIOCore

/// Writes commands in the protocol of Redis, with hiredis.
struct RESPEncoder {
    /// What has been encoded so far.
    private(set) var buffer = ByteBuffer()

    // Kept between commands, so that a pipeline allocates them once.
    private var pointers: [UnsafePointer<CChar>?] = []
    private var lengths: [Int] = []

    /// Adds a command.
    mutating func encode(_ command: RedisCommand) throws(RedisError) {
        pointers.removeAll(keepingCapacity: true)
        lengths.removeAll(keepingCapacity: true)
        // The variant that builds an sds string: the other one, redisFormatCommandArgv, calls sprintf for every length.
        var formatted: sds?
        let length = command.storage.withUnsafeBytes { bytes in
            var start = 0
            for end in command.ends {
                let base = bytes.baseAddress.map { ($0 + start).assumingMemoryBound(to: CChar.self) }
                pointers.append(base)
                lengths.append(end - start)
                start = end
            }
            return redisFormatSdsCommandArgv(&formatted, Int32(pointers.count), &pointers, lengths)
        }
        // hiredis counts in an int: what does not fit comes back negative, or is out of memory.
        guard length > 0, let formatted else {
            throw RedisError(
                .commandTooLarge,
                "\(command.name) with \(command.storage.count) bytes of arguments is too large"
            )
        }
        defer { redisFreeSdsCommand(formatted) }
        buffer.writeBytes(UnsafeRawBufferPointer(start: formatted, count: Int(length)))
    }
}
