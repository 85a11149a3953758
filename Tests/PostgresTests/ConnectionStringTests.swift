import Testing

@testable import Postgres

@Suite struct ConnectionStringTests {
    @Test(arguments: [
        "", "  ", "host=db", "postgresql://", "postgresql://app:s3cret@a,b:5433/x?target_session_attrs=read-write",
        "postgres://app:p%40ss@[::1]:5432/x", "host=a,b password='two words'", "postgresql:///x?host=/tmp&user=a@b",
        "postgresql://app:qu?stion@db/x",
    ])
    func `what libpq understands is accepted`(text: String) throws {
        #expect(try ConnectionString(text).text == text)
    }

    /// Every one holds "s3cret" or a piece of it, at the place where libpq stumbles or beside it.
    @Test(arguments: [
        "host=db password=two s3cret", "password='s3cret", "s3cret", "postgresql://app:s3%cret@db",
        "postgresql://app:s@3cret@db", "postgresql://app:s/3cret@db", "postgresql://app:s3cret@[::1/x",
        "postgresql://app:s3cret@[]/x", "postgresql://app:s3cret@[::1]x/y", "postgresql://db/x?s3cret",
        "postgresql://db/x?s3cret=1", "postgresql://db/x?a=b=s3cret", "password=a s3cret=b", "mysql://app:s3cret@db/x",
        "postgresql://app:s3cret%00@db", "host=db\0password=s3cret", "postgresql://app:a:s3cret/b@db",
        "postgresql://app:s3@\u{301}cret@db", "postgresql://app:s3@cret@\u{301}db",
    ])
    func `a mistake is named without a piece of the password`(text: String) {
        let error = #expect(throws: PostgresError.self) { _ = try ConnectionString(text) }
        #expect(error?.code == .invalidConfiguration)
        let description = "\(error.map { "\($0)" } ?? "") \(error?.detail ?? "") \(error?.hint ?? "")"
        #expect(!description.contains("cret"))
        #expect(!description.contains("s3"))
        #expect(!description.contains("\n"))
    }

    @Test func `a misspelt option is met with the one that was meant`() {
        let error = #expect(throws: PostgresError.self) { _ = try ConnectionString("hots=db") }
        #expect(error?.message.contains("did you mean \"host\"?") == true)
        let other = #expect(throws: PostgresError.self) { _ = try ConnectionString("postgresql://db/x?sslmod=require") }
        #expect(other?.message.contains("did you mean \"sslmode\"?") == true)
    }

    @Test func `what is far from any option is not compared with all of them`() {
        // Comparing takes the product of the lengths, and the string may be anything that somebody has pasted.
        let error = #expect(throws: PostgresError.self) {
            _ = try ConnectionString(String(repeating: "x", count: 100_000) + "=1")
        }
        #expect(error?.message.contains("see the list of connection parameters") == true)
    }

    @Test func `defaults come before the string and what is insisted on comes after`() throws {
        let configuration = PostgresConfiguration(connectionString: "host=db", requiresReadWrite: true)
        let options = ConnectionOptions(try ConnectionString("host=db"), configuration, hosts: nil)
        let keywords = options.list.map(\.keyword)
        #expect(
            keywords == [
                "fallback_application_name", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count",
                "tcp_user_timeout", "dbname", "target_session_attrs", "client_encoding",
            ]
        )
        let plain = ConnectionOptions(try ConnectionString(" "), PostgresConfiguration(), hosts: nil)
        #expect(!plain.list.contains { $0.keyword == "dbname" || $0.keyword == "target_session_attrs" })
    }

    @Test func `hosts are put together from libpq's lists, and those behind a silent one remain`() {
        let hosts = HostList(name: "a,b,a", address: "", port: "1,2,3")
        #expect(hosts.hosts.map(\.name) == ["a", "b", "a"])
        #expect(hosts.index(ofHost: "a", port: "3", from: 0) == 2)
        #expect(hosts.index(ofHost: "b", port: "2", from: 0) == 1)
        #expect(hosts.index(ofHost: "b", port: "2", from: 2) == nil)
        #expect(hosts.after(0)?.options.map(\.value) == ["b,a", "", "2,3"])
        #expect(hosts.after(2) == nil)
        let shared = HostList(name: "a,b", address: "", port: "5432")
        #expect(shared.after(0)?.options.map(\.value) == ["b", "", "5432"])
        let addressed = HostList(name: "", address: "10.0.0.1,10.0.0.2", port: "5432")
        #expect(addressed.index(ofHost: "10.0.0.2", port: "5432", from: 0) == 1)
        #expect(HostList(name: "", address: "", port: "5432").hosts.count == 1)
    }
}
