/// A command and its arguments, ready to be encoded.
///
/// The arguments lie one behind the other in a single array: a pipeline of hundreds of commands then costs two
/// allocations a command instead of one for every argument.
public struct RedisCommand: Sendable, Hashable {
    /// The name and the arguments, without separators.
    private(set) var storage: [UInt8] = []
    /// Where each of them ends in `storage`.
    private(set) var ends: [Int] = []

    /// A command with its arguments.
    public init(_ name: String, _ arguments: RedisArgument...) {
        self.init(name, arguments: arguments)
    }

    /// A command with its arguments.
    public init(_ name: String, arguments: [RedisArgument]) {
        ends.reserveCapacity(arguments.count + 1)
        append(.string(name))
        for argument in arguments {
            append(argument)
        }
    }

    /// Adds one argument at the end.
    public mutating func append(_ argument: RedisArgument) {
        switch argument {
        case .string(let text):
            storage.append(contentsOf: text.utf8)
        case .bytes(let bytes):
            storage.append(contentsOf: bytes)
        case .integer(let number):
            storage.append(contentsOf: String(number).utf8)
        }
        ends.append(storage.count)
    }

    /// The name and the arguments as bytes.
    public var arguments: [[UInt8]] {
        var start = 0
        return ends.map { end in
            defer { start = end }
            return Array(storage[start..<end])
        }
    }

    /// The command's name, as it was given.
    public var name: String {
        String(decoding: storage[..<(ends.first ?? 0)], as: UTF8.self)
    }
}
