/// The five characters by which Postgres names a condition, whatever the language of its messages.
public struct SQLState: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    /// The five characters, digits and upper-case letters.
    public let rawValue: String

    /// Accepts five characters of 0-9 and A-Z, and nothing else.
    public init?(rawValue: String) {
        let isState =
            rawValue.utf8.count == 5
            && rawValue.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) }
        guard isState else { return nil }
        self.rawValue = rawValue
    }

    private init(known: StaticString) {
        self.rawValue = known.description
    }

    /// The first two characters: the class of conditions this one belongs to.
    public var conditionClass: Substring { rawValue.prefix(2) }

    /// The five characters.
    public var description: String { rawValue }

    /// The server refuses more connections from anybody (53300).
    public static let tooManyConnections = SQLState(known: "53300")
    /// A user or a rule of `pg_hba.conf` does not permit this connection (28000).
    public static let invalidAuthorization = SQLState(known: "28000")
    /// The password is wrong (28P01).
    public static let invalidPassword = SQLState(known: "28P01")
    /// The database does not exist (3D000).
    public static let invalidCatalogName = SQLState(known: "3D000")
    /// The schema does not exist (3F000).
    public static let invalidSchemaName = SQLState(known: "3F000")
    /// The table or view does not exist (42P01).
    public static let undefinedTable = SQLState(known: "42P01")
    /// The column does not exist (42703).
    public static let undefinedColumn = SQLState(known: "42703")
    /// The function does not exist (42883).
    public static let undefinedFunction = SQLState(known: "42883")
    /// The type, role or other object does not exist (42704).
    public static let undefinedObject = SQLState(known: "42704")
    /// The object exists already (42710).
    public static let duplicateObject = SQLState(known: "42710")
    /// The table exists already (42P07).
    public static let duplicateTable = SQLState(known: "42P07")
    /// The prepared statement exists already (42P05).
    public static let duplicatePreparedStatement = SQLState(known: "42P05")
    /// No prepared statement has this name (26000).
    public static let invalidStatementName = SQLState(known: "26000")
    /// The role lacks a privilege (42501).
    public static let insufficientPrivilege = SQLState(known: "42501")
    /// The statement cannot be parsed (42601).
    public static let syntaxError = SQLState(known: "42601")
    /// The operation is not supported, such as LISTEN through a transaction pooler (0A000).
    public static let featureNotSupported = SQLState(known: "0A000")
    /// A unique constraint is violated (23505).
    public static let uniqueViolation = SQLState(known: "23505")
    /// A value does not have the form of its type (22P02).
    public static let invalidTextRepresentation = SQLState(known: "22P02")
    /// A value is none that the function takes (22023).
    public static let invalidParameterValue = SQLState(known: "22023")
    /// A column or a value has another type (42804).
    public static let datatypeMismatch = SQLState(known: "42804")
    /// An object is of another kind: a view for a table (42809).
    public static let wrongObjectType = SQLState(known: "42809")
    /// A lock was asked for with NOWAIT, or not had within `lock_timeout` (55P03).
    public static let lockNotAvailable = SQLState(known: "55P03")
    /// The object is not in the state that the operation needs (55000).
    public static let objectNotInPrerequisiteState = SQLState(known: "55000")
    /// The transaction was chosen to end a deadlock (40P01).
    public static let deadlockDetected = SQLState(known: "40P01")
    /// The transaction could not be serialized (40001).
    public static let serializationFailure = SQLState(known: "40001")
    /// A write in a read-only transaction, or on a standby (25006).
    public static let readOnlyTransaction = SQLState(known: "25006")
    /// A statement in a transaction that has failed already (25P02).
    public static let failedTransaction = SQLState(known: "25P02")
    /// The statement was cancelled, by request or by `statement_timeout` (57014).
    public static let queryCanceled = SQLState(known: "57014")
    /// The session was ended by an administrator or by a shutdown (57P01).
    public static let adminShutdown = SQLState(known: "57P01")
    /// The session was ended because another server process crashed (57P02).
    public static let crashShutdown = SQLState(known: "57P02")
    /// The server is starting up, shutting down or recovering (57P03).
    public static let cannotConnectNow = SQLState(known: "57P03")
    /// The session was idle for longer than the server allows (57P05).
    public static let idleSessionTimeout = SQLState(known: "57P05")
    /// RAISE EXCEPTION without a condition of its own (P0001).
    public static let raiseException = SQLState(known: "P0001")
}
