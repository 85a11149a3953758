// Why a connection could not be made.
//
// libpq gives no SQLSTATE for a failed connection: there is a text, and nothing else. But the text follows the error
// verbosity, also before the session exists, so the connection asks for PQERRORS_VERBOSE as soon as it has a handle,
// and the server's errors come as `FATAL:  28P01: …`. That code is reliable whatever language the server speaks. What
// fails before a server has said anything (name resolution, sockets, TLS) has no code; those texts are libpq's own,
// and English, since this process does not call setlocale. They are told apart by a few words, and what is not
// recognised counts as `cannotConnect`, which is retried and shown in full.
//
// The text holds one paragraph for each attempt, and there can be several: hosts, addresses, and with
// `sslmode=prefer` a second try without TLS. libpq goes on to the next host unless a server refused for good, so the
// last attempt that says something specific decides.

/// The reading of libpq's text on a connection that could not be made.
enum ConnectionFailure {
    /// One attempt at one address.
    struct Attempt: Equatable {
        var code: PostgresError.Code
        var sqlState: SQLState?
        /// Place and reason, in one line.
        var text: String
    }

    static func error(from text: String) -> PostgresError {
        var attempts: [Attempt] = []
        for attempt in Self.attempts(in: text) where attempts.last != attempt { attempts.append(attempt) }
        if attempts.isEmpty {
            attempts = [Attempt(code: .cannotConnect, sqlState: nil, text: "libpq does not say why")]
        }
        let decisive = attempts.last { $0.code != .cannotConnect } ?? attempts[attempts.count - 1]
        let reasons = attempts.map(\.text).joined(separator: "; ")
        return PostgresError(
            decisive.code,
            Redaction.redacting("cannot connect to Postgres: \(reasons); \(mend(for: decisive))"),
            sqlState: decisive.sqlState
        )
    }

    static func attempts(in text: String) -> [Attempt] {
        var attempts: [Attempt] = []
        for line in text.split(whereSeparator: \.isNewline) {
            // Continuations (LOCATION, HINT, "Is the server running …?") say nothing that the first line does not.
            let begins = line.hasPrefix("connection to server") || attempts.isEmpty || line.hasPrefix("could not ")
            guard begins, !line.hasPrefix("\t") else { continue }
            attempts.append(attempt(from: line))
        }
        return attempts
    }

    private static func attempt(from line: Substring) -> Attempt {
        var place = ""
        var reason = line
        if line.hasPrefix("connection to "), let failed = line.firstRange(of: " failed: ") {
            place = line[..<failed.lowerBound].dropFirst("connection to ".count) + ": "
            reason = line[failed.upperBound...]
        }
        var sqlState: SQLState?
        if let severity = reason.firstRange(of: ":  ") {
            let rest = reason[severity.upperBound...]
            if let end = rest.firstRange(of: ": "), let state = SQLState(rawValue: String(rest[..<end.lowerBound])) {
                sqlState = state
                reason = rest[end.upperBound...]
            } else {
                // A server too overloaded to speak the protocol says FATAL without a code.
                reason = rest
            }
        }
        let code = sqlState.map { self.code(for: $0) } ?? self.code(forLibraryText: reason)
        return Attempt(code: code, sqlState: sqlState, text: place + reason)
    }

    static func code(for sqlState: SQLState) -> PostgresError.Code {
        switch sqlState {
        case .invalidCatalogName: return .databaseMissing
        case .cannotConnectNow, .adminShutdown, .crashShutdown: return .startingOrStopping
        case .tooManyConnections: return .tooManyConnections
        case .insufficientPrivilege: return .authenticationFailed  // no CONNECT privilege on the database
        default: break
        }
        return sqlState.conditionClass == "28" ? .authenticationFailed : .cannotConnect
    }

    private static func code(forLibraryText text: Substring) -> PostgresError.Code {
        func says(_ signs: String...) -> Bool {
            signs.contains { text.firstRange(of: $0) != nil }
        }
        if says("too many clients", "too many connections") { return .tooManyConnections }
        if says("read-only", "hot standby") { return .unsuitableServer }
        if says("no password supplied", "fe_sendauth", "SCRAM", "authentication", "channel binding") {
            return .authenticationFailed
        }
        // A connection that broke below TLS is not a matter of certificates.
        if says("SSL SYSCALL", "SSL connection has been closed") { return .cannotConnect }
        if text.hasPrefix("invalid ") || says("could not match", "definition of service", "service file") {
            return .invalidConfiguration
        }
        if says("SSL", "certificate", "private key") { return .tlsFailed }
        return .cannotConnect
    }

    private static func mend(for attempt: Attempt) -> String {
        switch attempt.code {
        case .authenticationFailed where attempt.sqlState == .invalidPassword:
            return "check the user name and the password"
        case .authenticationFailed where attempt.sqlState == .insufficientPrivilege:
            return "grant the user CONNECT on the database"
        case .authenticationFailed where attempt.sqlState == nil:
            return "give a password in the connection string, PGPASSWORD or a password file"
        case .authenticationFailed: return "check the user name and the server's pg_hba.conf"
        case .databaseMissing: return "create the database or correct its name"
        case .tlsFailed: return "check sslmode, sslrootcert and the certificate of the server"
        case .tooManyConnections: return "raise max_connections or close other connections"
        case .startingOrStopping: return "try again when the server accepts connections"
        case .unsuitableServer: return "name a host that accepts writes"
        case .invalidConfiguration: return "correct the connection string"
        default: return "check that the server runs and that host and port are right"
        }
    }
}
