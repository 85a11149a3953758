// Reading the protocol is left to hiredis; writing it is not. Its two formatters, one with sprintf and one with a formatter of its
// own, build a C string for each command, which then has to be copied: together that was the largest part of what a lookup of a
// hundred keys took before it was sent. A command is an array of bulk strings and nothing else, and the tests hold what is written
// here to what hiredis writes.

/// Some arguments of a command, encoded as they are sent: each a bulk string of the protocol of Redis.
public struct RedisArguments: Sendable, Hashable {
    /// `$<length>\r\n<bytes>\r\n` for each argument.
    private(set) var encoded: [UInt8] = []
    /// The number of arguments.
    public private(set) var count = 0

    /// No arguments.
    public init() {}

    /// Some arguments.
    public init(_ arguments: RedisArgument...) {
        for argument in arguments { append(argument) }
    }

    /// How many bytes they are when they are sent.
    public var byteCount: Int { encoded.count }

    /// Adds one argument at the end.
    public mutating func append(_ argument: RedisArgument) {
        switch argument {
        case .string(let text):
            appendLength(text.utf8.count)
            encoded.append(contentsOf: text.utf8)
        case .bytes(let bytes):
            appendLength(bytes.count)
            encoded.append(contentsOf: bytes)
        case .integer(let number):
            let digits = String(number)
            appendLength(digits.utf8.count)
            encoded.append(contentsOf: digits.utf8)
        }
        endLine()
        count += 1
    }

    /// Adds one argument at the end that is put together from two texts.
    public mutating func append(_ text: String, followedBy rest: String) {
        let length = text.utf8.count + rest.utf8.count
        // Put together elsewhere, on the stack where it is short, for the same reason as below.
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: length + Self.overhead) { memory in
            var output = BulkStringWriter(memory)
            output.write(length: length)
            output.write(text)
            output.write(rest)
            output.endLine()
            encoded.append(contentsOf: UnsafeBufferPointer(rebasing: memory[..<output.count]))
        }
        count += 1
    }

    /// Some arguments, one that is put together from two texts, and some more.
    init(_ beginning: RedisArguments, _ text: String, followedBy rest: String, _ end: RedisArguments) {
        let length = text.utf8.count + rest.utf8.count
        let bound = beginning.byteCount + length + Self.overhead + end.byteCount
        // In uninitialised memory, because an array checks each write for its room; there is enough for all.
        encoded = Array(unsafeUninitializedCapacity: bound) { memory, written in
            var output = BulkStringWriter(memory)
            output.write(beginning.encoded)
            output.write(length: length)
            output.write(text)
            output.write(rest)
            output.endLine()
            output.write(end.encoded)
            written = output.count
        }
        count = beginning.count + 1 + end.count
    }

    /// Makes the room for an argument of so many bytes, and whatever else, so that adding them allocates once.
    public mutating func reserve(_ byteCount: Int) {
        encoded.reserveCapacity(encoded.count + byteCount + Self.overhead)
    }

    /// What an argument takes beside its bytes at the most.
    private static let overhead = 1 + 19 + 2 + 2

    private mutating func appendLength(_ length: Int) {
        encoded.append(UInt8(ascii: "$"))
        encoded.append(decimal: length)
        endLine()
    }

    private mutating func endLine() {
        encoded.append(UInt8(ascii: "\r"))
        encoded.append(UInt8(ascii: "\n"))
    }

    /// The arguments as bytes.
    var decoded: [[UInt8]] {
        var arguments: [[UInt8]] = []
        var rest = encoded[...]
        while let line = rest.firstIndex(of: UInt8(ascii: "\r")) {
            let length = rest[..<line].dropFirst().reduce(0) { $0 * 10 + Int($1 - UInt8(ascii: "0")) }
            arguments.append(Array(rest[(line + 2)...].prefix(length)))
            rest = rest[(line + 2)...].dropFirst(length + 2)
        }
        return arguments
    }
}

/// Writes bulk strings into memory that has the room for them.
private struct BulkStringWriter {
    private let memory: UnsafeMutableBufferPointer<UInt8>
    /// How many bytes have been written.
    private(set) var count = 0

    init(_ memory: UnsafeMutableBufferPointer<UInt8>) {
        self.memory = memory
    }

    mutating func write(_ bytes: [UInt8]) {
        count = memory[count...].initialize(fromContentsOf: bytes)
    }

    mutating func write(_ text: String) {
        var text = text
        text.withUTF8 { count = memory[count...].initialize(fromContentsOf: $0) }
    }

    mutating func write(length: Int) {
        memory[count] = UInt8(ascii: "$")
        count += 1
        var divisor = 1
        while length / divisor >= 10 { divisor *= 10 }
        while divisor > 0 {
            memory[count] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: length / divisor % 10)
            count += 1
            divisor /= 10
        }
        endLine()
    }

    mutating func endLine() {
        memory[count] = UInt8(ascii: "\r")
        memory[count + 1] = UInt8(ascii: "\n")
        count += 2
    }
}

extension [UInt8] {
    /// Appends a number that is not negative, in decimal digits.
    mutating func append(decimal number: Int) {
        var divisor = 1
        while number / divisor >= 10 { divisor *= 10 }
        while divisor > 0 {
            append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: number / divisor % 10))
            divisor /= 10
        }
    }
}
