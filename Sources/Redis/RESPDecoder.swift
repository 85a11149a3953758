internal import CHiredis
internal import NIOCore

// hiredis parses; we build. Its default builder makes a tree of C objects that would then be copied into ours, and it
// allocates whatever an array header claims. So the reader gets callbacks of our own: they put each value in its place
// in a `ReplyBuilder` as it is parsed, and hiredis is told that every object is the same dummy pointer.
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
    private let builder: ReplyBuilder
    private let limits: ReplyLimits
    private var bytesOfReply = 0

    private static let sliceLength = 16 * 1024

    init(limits: ReplyLimits = ReplyLimits()) {
        self.limits = limits
        builder = ReplyBuilder(maximumElements: limits.elements)
        functions = .allocate(capacity: 1)
        functions.initialize(to: .building)
        guard let reader = redisReaderCreateWithFunctions(functions) else {
            fatalError("out of memory for a reader of replies")
        }
        self.reader = reader
        // Unretained, because the builder lives as long as this value and the reader is freed with it.
        reader.pointee.privdata = Unmanaged.passUnretained(builder).toOpaque()
    }

    deinit {
        redisReaderFree(reader)
        functions.deinitialize(count: 1)
        functions.deallocate()
    }

    /// Takes bytes that arrived and hands out each reply that they complete, in order.
    ///
    /// - Throws: ``RedisError`` with `.protocolViolation`. Nothing can be decoded afterwards.
    mutating func decode(_ buffer: ByteBuffer, _ receive: (RedisReply) -> Void) throws(RedisError) {
        var buffer = buffer
        while let slice = buffer.readSlice(length: min(buffer.readableBytes, Self.sliceLength)), slice.readableBytes > 0
        {
            bytesOfReply += slice.readableBytes
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
        return object == nil ? nil : builder.takeReply()
    }

    private func failure() -> RedisError {
        if let problem = builder.problem {
            return RedisError(.protocolViolation, problem)
        }
        let text = withUnsafeBytes(of: &reader.pointee.errstr) {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        return RedisError(.protocolViolation, text.isEmpty ? "an unreadable reply" : text)
    }
}

/// Puts parsed values together into a reply.
///
/// hiredis parses depth first, so a stack of open arrays is all it takes.
private final class ReplyBuilder {
    private struct OpenArray {
        var elements: [RedisReply]
        let count: Int
    }

    private var open: [OpenArray] = []
    private var finished: RedisReply?
    private var elementCount = 0
    private let maximumElements: Int
    /// Why building was stopped.
    private(set) var problem: String?

    init(maximumElements: Int) {
        self.maximumElements = maximumElements
    }

    func takeReply() -> RedisReply? {
        defer {
            finished = nil
            elementCount = 0
        }
        return finished
    }

    func openArray(count: Int) -> Bool {
        elementCount += count
        guard elementCount <= maximumElements else {
            problem = "a reply of more than \(maximumElements) elements"
            return false
        }
        if count == 0 {
            add(.array([]))
        } else {
            var elements: [RedisReply] = []
            // What a header claims is believed only as far as it is cheap.
            elements.reserveCapacity(min(count, 4096))
            open.append(OpenArray(elements: elements, count: count))
        }
        return true
    }

    func add(_ value: RedisReply) {
        // One access to the stack for each value: in a class every access is checked when it is made.
        guard let array = Self.add(value, to: &open) else { return }
        finished = array
    }

    /// Puts a value where it belongs, and returns what is complete with it.
    private static func add(_ value: RedisReply, to open: inout [OpenArray]) -> RedisReply? {
        var value = value
        while !open.isEmpty {
            let last = open.count - 1
            open[last].elements.append(value)
            guard open[last].elements.count == open[last].count else { return nil }
            value = .array(open.removeLast().elements)
        }
        return value
    }
}

extension redisReplyObjectFunctions {
    /// Callbacks that build with the `ReplyBuilder` in the reader's `privdata`.
    fileprivate static var building: Self {
        Self(
            createString: { task, text, length in
                guard let task, let builder = ReplyBuilder.of(task) else { return nil }
                let bytes = UnsafeRawBufferPointer(start: text, count: length)
                switch task.pointee.type {
                case REDIS_REPLY_ERROR:
                    builder.add(.error(RedisServerError(line: String(decoding: bytes, as: UTF8.self))))
                case REDIS_REPLY_STATUS:
                    builder.add(.simple(String(decoding: bytes, as: UTF8.self)))
                default:
                    builder.add(.bulk(Array(bytes)))
                }
                return builder.dummy
            },
            createArray: { task, count in
                guard let task, let builder = ReplyBuilder.of(task), builder.openArray(count: Int(count)) else {
                    return nil
                }
                return builder.dummy
            },
            createInteger: { task, number in
                guard let task, let builder = ReplyBuilder.of(task) else { return nil }
                builder.add(.integer(number))
                return builder.dummy
            },
            createNil: { task in
                guard let task, let builder = ReplyBuilder.of(task) else { return nil }
                builder.add(.null)
                return builder.dummy
            },
            freeObject: { _ in
                // Nothing to free: the builder owns the values, and goes with its decoder.
            }
        )
    }
}

extension ReplyBuilder {
    static func of(_ task: UnsafePointer<redisReadTask>) -> ReplyBuilder? {
        task.pointee.privdata.map { Unmanaged<ReplyBuilder>.fromOpaque($0).takeUnretainedValue() }
    }

    /// A pointer that is not NULL, which is all that hiredis asks of an object.
    var dummy: UnsafeMutableRawPointer {
        Unmanaged.passUnretained(self).toOpaque()
    }
}
