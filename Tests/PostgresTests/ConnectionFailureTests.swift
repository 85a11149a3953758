import Testing

@testable import Postgres

@Suite struct ConnectionFailureTests {
    static let place = "connection to server at \"db\" (10.0.0.1), port 5432 failed: "

    @Test(
        arguments: [
            ("FATAL:  28P01: password authentication failed for user \"app\"", .authenticationFailed, "28P01"),
            ("FATAL:  28000: no pg_hba.conf entry for host \"1.2.3.4\", no encryption", .authenticationFailed, "28000"),
            ("FATAL:  3D000: database \"x\" does not exist", .databaseMissing, "3D000"),
            ("FATAL:  42501: permission denied for database \"x\"", .authenticationFailed, "42501"),
            ("FATAL:  57P03: the database system is starting up", .startingOrStopping, "57P03"),
            ("FATAL:  53300: sorry, too many clients already", .tooManyConnections, "53300"),
            ("SCHWERWIEGEND:  3D000: Datenbank »x« existiert nicht", .databaseMissing, "3D000"),
            ("FATAL:  sorry, too many clients already", .tooManyConnections, nil),
            ("fe_sendauth: no password supplied", .authenticationFailed, nil),
            ("session is read-only", .unsuitableServer, nil),
            ("server is in hot standby mode", .unsuitableServer, nil),
            ("server does not support SSL, but SSL was required", .tlsFailed, nil),
            ("SSL error: certificate verify failed", .tlsFailed, nil),
            ("server certificate for \"a\" does not match host name \"db\"", .tlsFailed, nil),
            ("root certificate file \"/x\" does not exist", .tlsFailed, nil),
            ("SSL SYSCALL error: Connection reset by peer", .cannotConnect, nil),
            (
                "Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?",
                .cannotConnect, nil
            ),
            ("server closed the connection unexpectedly\n\tThis probably means …", .cannotConnect, nil),
        ] as [(String, PostgresError.Code, String?)]
    )
    func `the reason is read from libpq's text`(reason: String, code: PostgresError.Code, sqlState: String?) {
        let error = ConnectionFailure.error(from: Self.place + reason + "\nLOCATION:  auth_failed, auth.c:335\n")
        #expect(error.code == code)
        #expect(error.sqlState?.rawValue == sqlState)
        #expect(error.message.hasPrefix("cannot connect to Postgres: server at \"db\" (10.0.0.1), port 5432: "))
        #expect(!error.message.contains("\n"))
        #expect(!error.message.contains("LOCATION"))
        #expect(!error.message.contains("FATAL"))
    }

    @Test func `a host that cannot be resolved and a wrong option are told apart`() {
        let unresolved = ConnectionFailure.error(
            from: "could not translate host name \"nowhere\" to address: Name or service not known\n"
        )
        #expect(unresolved.code == .cannotConnect)
        #expect(unresolved.message.contains("nowhere"))
        let option = ConnectionFailure.error(from: "invalid sslmode value: \"maybe\"\n")
        #expect(option.code == .invalidConfiguration)
        #expect(option.message.contains("maybe"))
    }

    @Test func `of several attempts the last that is specific decides, and all are shown once`() {
        let text = """
            connection to server at "a", port 1 failed: Connection refused
            \tIs the server running on that host and accepting TCP/IP connections?
            connection to server at "b", port 2 failed: FATAL:  57P03: the database system is starting up
            connection to server at "b", port 2 failed: FATAL:  57P03: the database system is starting up
            connection to server at "c", port 3 failed: No route to host

            """
        let error = ConnectionFailure.error(from: text)
        #expect(error.code == .startingOrStopping)
        #expect(ConnectionFailure.attempts(in: text).count == 4)
        #expect(
            error.message
                == "cannot connect to Postgres: server at \"a\", port 1: Connection refused; server at \"b\", port 2: "
                + "the database system is starting up; server at \"c\", port 3: No route to host; "
                + "try again when the server accepts connections"
        )
    }

    @Test func `an empty text is still an error with a mend`() {
        let error = ConnectionFailure.error(from: "")
        #expect(error.code == .cannotConnect)
        #expect(error.message.contains("does not say why"))
    }
}
