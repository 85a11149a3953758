import Testing

@testable import Migrations

@Suite struct MigrationScriptTests {
    @Test func `bytes are written as Postgres reads them`() {
        #expect(MigrationScript.bytea([]) == "\\x")
        #expect(MigrationScript.bytea([0, 10, 255]) == "\\x000aff")
    }

    @Test func `with nothing to do the script is a comment`() throws {
        let plan = try MigrationPlan(files: [], ledger: [])
        #expect(MigrationScript.forPsql(plan, tables: nil) == "-- nothing to do\n")
    }

    @Test func `each migration is recorded in its own transaction, then the tables are attached`() throws {
        let files = ["m0001_a", "m0002_b"].map {
            MigrationPlan.Step(Migration(name: $0, bytes: Array("CREATE \($0);\n".utf8)), checksum: "sum of \($0)")
        }
        var tables = AttachedTables()
        tables.link = "app.it's a link"
        tables.level = .row
        let script = MigrationScript.forPsql(try MigrationPlan(files: files, ledger: []), tables: tables)
        var rest = script[...]
        for part in [
            "ON_ERROR_STOP", "BEGIN", "pg_advisory_xact_lock", "CREATE m0001_a;", "'m0001_a', 'sum of m0001_a'",
            "COMMIT",
            "BEGIN", "pg_advisory_xact_lock", "CREATE m0002_b;", "'m0002_b', 'sum of m0002_b'", "COMMIT",
            "BEGIN", "freshet.attach", "'app.it''s a link'", "level => 'row'", "COMMIT",
        ] {
            let place = try #require(rest.firstRange(of: part), "\(part) is missing or out of place")
            rest = rest[place.upperBound...]
        }
    }
}
