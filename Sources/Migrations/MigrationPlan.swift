/// What is left to do to a database, decided from the files and its ledger alone.
///
/// Whoever applies one step decides anew before the next, under the lock: another migrator may have been faster.
public struct MigrationPlan: Sendable, Equatable {
    /// A migration and the checksum of its file.
    public struct Step: Sendable, Equatable {
        /// The file.
        public let migration: Migration
        /// SHA-256 of its bytes, in lower-case hex.
        public let checksum: String

        init(_ migration: Migration, checksum: String) {
            self.migration = migration
            self.checksum = checksum
        }
    }

    /// A row of the ledger `freshet.migration`.
    struct LedgerEntry: Sendable, Equatable {
        var name: String
        var checksum: String
    }

    /// The names of what has been applied.
    public let applied: [String]
    /// What is still to be applied, in order.
    public let pending: [Step]

    /// Compares the files with the ledger.
    ///
    /// - Parameter files: all migrations, in order.
    /// - Throws: ``MigrationError`` if the ledger is not a beginning of the files.
    init(files: [Step], ledger: [LedgerEntry]) throws(MigrationError) {
        let known = Set(files.map(\.migration.name))
        if let stranger = ledger.map(\.name).sorted().first(where: { !known.contains($0) }) {
            throw MigrationError(
                .unknownMigration,
                "the database has migration \(stranger), which this freshet does not know: use the newer freshet that applied it"
            )
        }
        var applied: [String] = []
        var pending: [Step] = []
        for step in files {
            let name = step.migration.name
            guard let entry = ledger.first(where: { $0.name == name }) else {
                pending.append(step)
                continue
            }
            guard entry.checksum == step.checksum else {
                throw MigrationError(
                    .editedAfterwards,
                    "migration \(name).sql was edited after it was applied (applied \(entry.checksum.prefix(12))…, "
                        + "now \(step.checksum.prefix(12))…): restore the file, and put changes into a new one"
                )
            }
            if let missing = pending.first {
                throw MigrationError(
                    .outOfOrder,
                    "migration \(name) is applied but \(missing.migration.name), which comes before it, is not: "
                        + "restore the ledger freshet.migration"
                )
            }
            applied.append(name)
        }
        self.applied = applied
        self.pending = pending
    }
}
