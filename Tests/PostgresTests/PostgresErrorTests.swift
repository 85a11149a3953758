import Testing

@testable import Postgres

@Suite struct PostgresErrorTests {
    @Test func `an SQLSTATE is five digits or upper-case letters`() {
        #expect(SQLState(rawValue: "42P01") == .undefinedTable)
        #expect(SQLState(rawValue: "42p01") == nil)
        #expect(SQLState(rawValue: "42P0") == nil)
        #expect(SQLState(rawValue: "42P012") == nil)
        #expect(SQLState(rawValue: "42P0é") == nil)
        #expect(SQLState.undefinedTable.conditionClass == "42")
    }

    @Test func `whether to retry follows from the code and the SQLSTATE`() {
        func isRetryable(_ code: PostgresError.Code, _ sqlState: SQLState? = nil) -> Bool {
            PostgresError(code, "", sqlState: sqlState).isRetryable
        }
        #expect(isRetryable(.cannotConnect))
        #expect(isRetryable(.connectionLost, .adminShutdown))
        #expect(isRetryable(.startingOrStopping, .cannotConnectNow))
        #expect(isRetryable(.server, .deadlockDetected))
        #expect(isRetryable(.server, .serializationFailure))
        #expect(isRetryable(.server, .lockNotAvailable))
        #expect(!isRetryable(.server, .undefinedTable))
        #expect(!isRetryable(.server, .insufficientPrivilege))
        #expect(!isRetryable(.authenticationFailed, .invalidPassword))
        #expect(!isRetryable(.invalidConfiguration))
        #expect(!isRetryable(.cancelled))
        #expect(!isRetryable(.badResult))
    }

    @Test func `an error names its SQLSTATE and the line of the call`() {
        let error = PostgresError(.server, "no such thing", sqlState: .undefinedTable)
        #expect("\(error)" == "no such thing (SQLSTATE 42P01)")
        #expect(error.file == #fileID)
        #expect(error.line == #line - 3)
        #expect("\(PostgresError.Code.timedOut)" == "timedOut")
    }

    @Test func `an error that ends the session is a lost connection, with the server's reason`() {
        let fatal = StatementOutcome.failure(
            from: ServerMessage(severity: "FATAL", sqlState: .adminShutdown, message: "terminating\nconnection")
        )
        #expect(fatal.endsConnection)
        #expect(fatal.error.code == .connectionLost)
        #expect(fatal.error.sqlState == .adminShutdown)
        #expect(fatal.error.message.contains("terminating connection"))
        let plain = StatementOutcome.failure(
            from: ServerMessage(severity: "ERROR", sqlState: .undefinedTable, message: "m", detail: "d", hint: "h")
        )
        #expect(!plain.endsConnection)
        #expect(plain.error.code == .server)
        #expect(plain.error.detail == "d")
        #expect(plain.error.hint == "h")
        let broken = StatementOutcome.failure(from: ServerMessage(severity: nil, sqlState: nil, message: "gone"))
        #expect(broken.endsConnection)
        #expect(broken.error.code == .connectionLost)
    }
}
