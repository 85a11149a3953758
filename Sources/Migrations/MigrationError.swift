/// Why a schema could not be brought up to date: one line that names the thing, the value and the mend.
public struct MigrationError: Error, Sendable, CustomStringConvertible {
    /// What kind of failure it is.
    public struct Code: Sendable, Hashable {
        private enum Kind: Sendable, Hashable {
            case editedAfterwards, unknownMigration, outOfOrder, missingTable, locked
        }

        private let kind: Kind

        /// A file is not the one that was applied.
        public static let editedAfterwards = Code(kind: .editedAfterwards)
        /// The database has a migration that this program lacks.
        public static let unknownMigration = Code(kind: .unknownMigration)
        /// A later migration was applied without an earlier one.
        public static let outOfOrder = Code(kind: .outOfOrder)
        /// A table to attach does not exist.
        public static let missingTable = Code(kind: .missingTable)
        /// Somebody else held a lock for the whole time that was allowed.
        public static let locked = Code(kind: .locked)
    }

    /// What kind of failure it is.
    public let code: Code
    /// One line for a person.
    public let message: String
    /// What led to it, if something did.
    public let underlying: (any Error)?
    /// Where the error was made.
    public let file: String
    /// Where the error was made.
    public let line: Int

    init(
        _ code: Code,
        _ message: String,
        underlying: (any Error)? = nil,
        file: String = #fileID,
        line: Int = #line
    ) {
        self.code = code
        self.message = message
        self.underlying = underlying
        self.file = file
        self.line = line
    }

    /// The message.
    public var description: String { message }

    /// Whether trying again later may succeed.
    public var isRetryable: Bool { code == .locked }
}
