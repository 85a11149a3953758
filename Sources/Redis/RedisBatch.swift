/// Commands that belong to one routing key, and so to one Cluster slot: the unit a client may route as a whole.
public struct RedisBatch: Sendable {
    /// A command, or a call of a script.
    public enum Element: Sendable {
        /// A plain command.
        case command(RedisCommand)
        /// A script, called by its hash where the server has it and with its text where not.
        case script(RedisScript, keys: [String], arguments: [RedisArgument])
    }

    /// The key that says where the batch belongs.
    ///
    /// Every key of its commands must hash to the same slot.
    public let key: String
    /// What is sent, in order.
    public var commands: [Element]
    /// Whether the commands are wrapped in MULTI and EXEC, so that nobody else's run between them.
    ///
    /// Scripts must not be in a transaction: one that the server does not know could not be resent in its place.
    public var isTransaction: Bool

    /// A batch of commands and scripts.
    public init(key: String, commands: [Element] = [], isTransaction: Bool = false) {
        self.key = key
        self.commands = commands
        self.isTransaction = isTransaction
    }

    /// A batch of plain commands.
    public init(key: String, commands: [RedisCommand], isTransaction: Bool = false) {
        self.init(key: key, commands: commands.map { .command($0) }, isTransaction: isTransaction)
    }

    /// Whether a script is among the commands.
    var hasScript: Bool {
        commands.contains { element in
            if case .script = element { true } else { false }
        }
    }

    /// Adds a command at the end.
    public mutating func append(_ command: RedisCommand) {
        commands.append(.command(command))
    }

    /// Adds a call of a script at the end.
    public mutating func append(_ script: RedisScript, keys: [String], arguments: [RedisArgument] = []) {
        commands.append(.script(script, keys: keys, arguments: arguments))
    }
}
