import CLibPQ

/// The fields of an error or a notice of the server.
struct ServerMessage: Sendable {
    var severity: String?
    var sqlState: SQLState?
    var message: String
    var detail: String?
    var hint: String?

    init(severity: String?, sqlState: SQLState?, message: String, detail: String? = nil, hint: String? = nil) {
        self.severity = severity
        self.sqlState = sqlState
        self.message = message
        self.detail = detail
        self.hint = hint
    }

    /// Reads a `PGresult`, which stays the caller's.
    ///
    /// A raw pointer because libpq's type is opaque.
    init(_ result: OpaquePointer) {
        func field(_ code: Character) -> String? {
            guard let byte = code.asciiValue, let text = PQresultErrorField(result, Int32(byte)) else { return nil }
            return String(cString: text)
        }
        // The letters of the protocol's error fields; V is the severity that is not translated, and S the one that is.
        severity = field("V") ?? field("S")
        sqlState = field("C").flatMap { SQLState(rawValue: $0) }
        message = field("M") ?? String(cString: PQresultErrorMessage(result))
        detail = field("D")
        hint = field("H")
    }

    /// Whether the server closes the connection after this.
    var endsSession: Bool {
        severity == "FATAL" || severity == "PANIC"
    }
}
