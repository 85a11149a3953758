/// A command and its arguments, ready to be sent.
///
/// The arguments lie one behind the other in a single array, encoded as they are sent: a pipeline of hundreds of commands then
/// costs one allocation a command, and sending it is copying it.
public struct RedisCommand: Sendable, Hashable {
    private(set) var parts: RedisArguments

    /// A command with its arguments.
    public init(_ name: String, _ arguments: RedisArgument...) {
        self.init(name, arguments: arguments)
    }

    /// A command with its arguments.
    public init(_ name: String, arguments: [RedisArgument]) {
        parts = RedisArguments()
        parts.reserve(32 * (1 + arguments.count))
        parts.append(.string(name))
        for argument in arguments {
            parts.append(argument)
        }
    }

    /// A command out of its beginning, one argument that is put together from two texts, and its end.
    ///
    /// The quickest way to many commands that differ in one key.
    public init(_ beginning: RedisArguments, key prefix: String, _ suffix: String, _ end: RedisArguments) {
        parts = RedisArguments(beginning, prefix, followedBy: suffix, end)
    }

    /// Adds one argument at the end.
    public mutating func append(_ argument: RedisArgument) {
        parts.append(argument)
    }

    /// The name and the arguments as bytes.
    public var arguments: [[UInt8]] { parts.decoded }

    /// The command's name, as it was given.
    public var name: String { parts.decoded.first.map { String(decoding: $0, as: UTF8.self) } ?? "" }
}
