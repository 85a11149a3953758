import Testing

@testable import Postgres

@Suite struct RedactionTests {
    @Test(arguments: [
        ("postgresql://app:s3cret@db/x", "postgresql://app:***@db/x"),
        ("postgres://app:p@ss:w/rd@db", "postgres://app:***@db"),
        ("postgresql://app:s3 cret@db", "postgresql://app:***@db"),
        ("postgresql://app@db:5432/x", "postgresql://app@db:5432/x"),
        ("postgresql://db:5432/x", "postgresql://db:5432/x"),
        ("host=db password=s3cret user=app", "host=db password=*** user=app"),
        ("host=db PassWord = 's3 \\' cret' user=app", "host=db PassWord=*** user=app"),
        ("password=s3\\ cret user=app", "password=*** user=app"),
        ("sslpassword=s3cret", "sslpassword=***"),
        ("password='never closed", "password=***"),
        ("postgresql:///x?user=app&password=s3cret&host=db", "postgresql:///x?user=app&password=***&host=db"),
        ("a password is needed", "a password is needed"),
        ("password=a&b user=app", "password=*** user=app"),
        ("password=", "password=***"),
        // Neither space is one to libpq.
        ("password=a\u{A0}s3cret\u{2028}b user=app", "password=*** user=app"),
        ("password=\u{301}s3cret user=app", "password=*** user=app"),
        ("password\t=\n's3cret' user=app", "password=*** user=app"),
        ("postgresql://app:s3cret@\u{301}db/x", "postgresql://app:***@\u{301}db/x"),
        ("postgresql://db/x?user=a&p%61ssw%6Frd=s3 cret&host=h", "postgresql://db/x?user=a&p%61ssw%6Frd=***&host=h"),
        ("", ""),
    ])
    func `passwords are taken out of connection strings`(text: String, expected: String) {
        #expect(Redaction.redacting(text) == expected)
    }

    @Test func `a configuration never shows its password`() {
        let configuration = PostgresConfiguration(connectionString: "postgresql://app:s3cret@db/x")
        #expect(!"\(configuration)".contains("s3cret"))
        #expect(!configuration.redactedConnectionString.contains("s3cret"))
    }
}
