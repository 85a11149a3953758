import Testing

@testable import Migrations

@Suite struct MigrationPlanTests {
    private static let files = ["m0001_a", "m0002_b", "m0003_c"].map {
        MigrationPlan.Step(Migration(name: $0, bytes: Array("SELECT '\($0)';".utf8)), checksum: "sum of \($0)")
    }

    private static func ledger(_ names: String...) -> [MigrationPlan.LedgerEntry] {
        names.map { MigrationPlan.LedgerEntry(name: $0, checksum: "sum of \($0)") }
    }

    @Test func `an empty ledger leaves everything to do, in order`() throws {
        let plan = try MigrationPlan(files: Self.files, ledger: [])
        #expect(plan.applied.isEmpty)
        #expect(plan.pending == Self.files)
    }

    @Test func `what is applied is not done again, whatever the order of the ledger`() throws {
        let plan = try MigrationPlan(files: Self.files, ledger: Self.ledger("m0002_b", "m0001_a"))
        #expect(plan.applied == ["m0001_a", "m0002_b"])
        #expect(plan.pending.map(\.migration.name) == ["m0003_c"])
    }

    @Test func `a full ledger leaves nothing to do`() throws {
        let plan = try MigrationPlan(files: Self.files, ledger: Self.ledger("m0001_a", "m0002_b", "m0003_c"))
        #expect(plan.pending.isEmpty)
    }

    @Test func `an applied file that was edited is refused by name`() {
        var ledger = Self.ledger("m0001_a", "m0002_b")
        ledger[1].checksum = "another"
        let error = #expect(throws: MigrationError.self) { try MigrationPlan(files: Self.files, ledger: ledger) }
        #expect(error?.code == .editedAfterwards)
        #expect(error?.message.contains("m0002_b.sql") == true)
    }

    @Test func `a migration that this program does not know is refused by name`() {
        let error = #expect(throws: MigrationError.self) {
            try MigrationPlan(files: Self.files, ledger: Self.ledger("m0001_a", "m0002_b", "m0003_c", "m0004_d"))
        }
        #expect(error?.code == .unknownMigration)
        #expect(error?.message.contains("m0004_d") == true)
    }

    @Test func `a ledger with a hole is refused, naming both sides of it`() {
        let error = #expect(throws: MigrationError.self) {
            try MigrationPlan(files: Self.files, ledger: Self.ledger("m0001_a", "m0003_c"))
        }
        #expect(error?.code == .outOfOrder)
        #expect(error?.message.contains("m0002_b") == true)
        #expect(error?.message.contains("m0003_c") == true)
    }
}
