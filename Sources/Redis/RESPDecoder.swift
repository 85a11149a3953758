internal import CHiredis
internal import NIOCore

// hiredis parses; we build. Its default builder makes a tree of C objects that would then be copied into ours, and it
// allocates whatever an array header claims. So the reader gets callbacks of our own: they put each value in its place
// in a `ReplyBuilder` as it is parsed, and hiredis is told that every object is the same dummy pointer, the builder's.
//
// Traps of hiredis 0.14 that shape this file:
//   * After every parsed reply it moves the unread rest of its buffer to the front once 1 KiB has been consumed. A large
//     buffer of small replies would be moved again and again, so it is fed in slices.
//   * An error is for ever: the reader never recovers, and the connection must be closed.
//   * A callback that returns NULL means "out of memory" to it; we use that to stop, and keep the true reason aside.

/// Reads replies out of a stream of bytes, with hiredis.
///
/// One for each connection.
struct RESPDecoder: ~Copyable {
    private let reader: UnsafeMutablePointer<redisReader>
    private let functions: UnsafeMutablePointer<redisReplyObjectFunctions>
    /// A pointer, because the C callbacks need an address that stays; this value owns what it points to.
    private let builder: UnsafeMutablePointer<ReplyBuilder>
    private let limits: ReplyLimits
    private var bytesOfReply = 0

    private static let sliceLength = 4 * 1024
    /// The most bytes of one read that short strings are kept in one piece of memory for.
    private static let pieceLength = 16 * 1024

    init(limits: ReplyLimits = ReplyLimits()) {
        self.limits = limits
        builder = .allocate(capacity: 1)
        builder.initialize(to: ReplyBuilder(maximumElements: limits.elements))
        functions = .allocate(capacity: 1)
        functions.initialize(to: .building)
        guard let reader = redisReaderCreateWithFunctions(functions) else {
            fatalError("out of memory for a reader of replies")
        }
        self.reader = reader
        reader.pointee.privdata = UnsafeMutableRawPointer(builder)
    }

    deinit {
        redisReaderFree(reader)
        functions.deinitialize(count: 1)
        functions.deallocate()
        builder.deinitialize(count: 1)
        builder.deallocate()
    }

    /// Takes bytes that arrived and hands out each reply that they complete, in order.
    ///
    /// - Throws: ``RedisError`` with `.protocolViolation`. Nothing can be decoded afterwards.
    mutating func decode(_ buffer: ByteBuffer, _ receive: (RedisReply) -> Void) throws(RedisError) {
        var buffer = buffer
        while let slice = buffer.readSlice(length: min(buffer.readableBytes, Self.sliceLength)), slice.readableBytes > 0
        {
            bytesOfReply += slice.readableBytes
            builder.pointee.bytesAtHand = min(slice.readableBytes + buffer.readableBytes, Self.pieceLength)
            let status = slice.withUnsafeReadableBytes { bytes in
                redisReaderFeed(reader, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
            }
            guard status == REDIS_OK else { throw failure() }
            while let reply = try next() {
                bytesOfReply = 0
                receive(reply)
            }
            guard bytesOfReply <= limits.bytes else {
                throw RedisError(.protocolViolation, "a reply of more than \(limits.bytes) bytes")
            }
        }
    }

    private func next() throws(RedisError) -> RedisReply? {
        var object: UnsafeMutableRawPointer?
        guard redisReaderGetReply(reader, &object) == REDIS_OK else { throw failure() }
        return object == nil ? nil : builder.pointee.takeReply()
    }

    private func failure() -> RedisError {
        if let problem = builder.pointee.problem {
            return RedisError(.protocolViolation, problem)
        }
        let text = withUnsafeBytes(of: &reader.pointee.errstr) {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        return RedisError(.protocolViolation, text.isEmpty ? "an unreadable reply" : text)
    }
}

extension redisReplyObjectFunctions {
    /// Callbacks that build with the `ReplyBuilder` in the reader's `privdata`.
    fileprivate static var building: Self {
        Self(
            createString: { task, text, length in
                guard let builder = task?.pointee.builder else { return nil }
                let bytes = UnsafeRawBufferPointer(start: text, count: length)
                switch task?.pointee.type {
                case REDIS_REPLY_ERROR: builder.pointee.add(error: bytes)
                case REDIS_REPLY_STATUS: builder.pointee.add(simple: bytes)
                default: builder.pointee.add(bulk: bytes)
                }
                return UnsafeMutableRawPointer(builder)
            },
            createArray: { task, count in
                guard let builder = task?.pointee.builder, builder.pointee.openArray(count: Int(count)) else {
                    return nil
                }
                return UnsafeMutableRawPointer(builder)
            },
            createInteger: { task, number in
                guard let builder = task?.pointee.builder else { return nil }
                builder.pointee.add(integer: number)
                return UnsafeMutableRawPointer(builder)
            },
            createNil: { task in
                guard let builder = task?.pointee.builder else { return nil }
                builder.pointee.addNull()
                return UnsafeMutableRawPointer(builder)
            },
            freeObject: { _ in
                // Nothing to free: the builder owns the values, and goes with its decoder.
            }
        )
    }
}

extension redisReadTask {
    /// The builder that the decoder has given to its reader.
    fileprivate var builder: UnsafeMutablePointer<ReplyBuilder>? {
        privdata?.assumingMemoryBound(to: ReplyBuilder.self)
    }
}
