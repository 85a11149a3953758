extension Diagnosis {
    /// The journal, and who works it off.
    func journal(_ postgres: PostgresFacts) -> [Finding] {
        var found: [Finding] = []
        found += check(.workerLeader, postgres.leader) { leader in
            guard let leader else {
                return [
                    Finding(
                        .workerLeader,
                        .problem,
                        "no worker leads",
                        why: "changes wait in the journal, and readers take entries only while they are young",
                        mend: .shell("freshet run")
                    )
                ]
            }
            return [
                Finding(
                    .workerLeader,
                    .well,
                    "backend \(leader.processIdentifier) leads\(leader.role.map { ", as \($0)" } ?? "")"
                )
            ]
        }
        found += check(.journalBacklog, postgres.journal) { [backlog($0, postgres)] }
        found += check(.journalDefinition, postgres.journalTable, definition)
        found += check(.journalAutovacuum, postgres.settings) { settings in
            check(.journalAutovacuum, postgres.journalTable) { autovacuum($0, settings) }
        }
        found += check(.journalDeadRows, postgres.journalTable) { [deadRows($0)] }
        return found
    }

    private func backlog(_ journal: PostgresFacts.Journal, _ postgres: PostgresFacts) -> Finding {
        let rows =
            journal.rows >= PostgresFacts.Journal.countedRows
            ? "\(journal.rows) changes or more" : "\(journal.rows) \(journal.rows == 1 ? "change" : "changes")"
        guard journal.rows > 0, let oldest = journal.oldestSeconds else {
            return Finding(.journalBacklog, .well, "empty")
        }
        let text = "\(rows) waiting, the oldest for \(Figure.age(oldest))"
        guard oldest > limits.oldestChange.inSeconds else { return Finding(.journalBacklog, .well, text) }
        return Finding(
            .journalBacklog,
            .problem,
            text,
            why: "they are not being applied: what they changed may still be cached"
                + (journal.rows > 100_000 ? "; of so many, everything will be invalidated at once" : ""),
            mend: mendOfWorker(postgres)
        )
    }

    private func definition(_ table: PostgresFacts.JournalTable) -> [Finding] {
        var found: [Finding] = []
        if !table.hasFullReplicaIdentity {
            found.append(
                Finding(
                    .journalDefinition,
                    .problem,
                    "the replica identity of freshet.change is not FULL",
                    why: "a publication FOR ALL TABLES makes the worker's DELETE an error",
                    mend: .sql("ALTER TABLE freshet.change REPLICA IDENTITY FULL;")
                )
            )
        }
        if !table.hasIndex {
            found.append(
                Finding(
                    .journalDefinition,
                    .problem,
                    "freshet.change has no valid index of its column xid",
                    why: "every pass reads all rows of the journal, dead ones too",
                    mend: .sql(
                        "DROP INDEX IF EXISTS freshet.change_xid; CREATE INDEX change_xid ON freshet.change (xid);"
                    )
                )
            )
        }
        return found.orWell(.journalDefinition, "indexed by xid, with a full replica identity")
    }

    private func autovacuum(_ table: PostgresFacts.JournalTable, _ settings: PostgresFacts.Settings) -> [Finding] {
        var found: [Finding] = []
        if !settings.autovacuum || !settings.trackCounts {
            let name = settings.autovacuum ? "track_counts" : "autovacuum"
            found.append(
                Finding(
                    .journalAutovacuum,
                    .problem,
                    "\(name) is off",
                    why: "nothing cleans the journal, which is filled and emptied all day",
                    mend: .sql("ALTER SYSTEM SET \(name) = on; SELECT pg_reload_conf();")
                )
            )
        }
        let wanted =
            DocumentedGrants.journalOptions + DocumentedGrants.journalToastOptions.map { "toast.\($0)" }
        let present = Set(table.options + table.toastOptions.map { "toast.\($0)" })
        let missing = wanted.filter { !present.contains($0) }
        // Others than ours are somebody's choice, but for the one that switches it off.
        let isOff = table.isAutovacuumOff || table.isToastAutovacuumOff
        if !missing.isEmpty || isOff {
            found.append(
                Finding(
                    .journalAutovacuum,
                    .problem,
                    isOff
                        ? "autovacuum is off for \(table.isAutovacuumOff ? "freshet.change" : "the TOAST table of freshet.change")"
                        : "storage parameters of freshet.change were changed: without \(Figure.list(missing, limit: 3))",
                    why:
                        "the journal is filled and emptied all day: vacuum must come by count, and must not truncate it",
                    mend: .sql(
                        (isOff
                            ? "ALTER TABLE freshet.change RESET (autovacuum_enabled, toast.autovacuum_enabled); " : "")
                            + "ALTER TABLE freshet.change SET (\(wanted.joined(separator: ", ")));"
                    )
                )
            )
        }
        let last = table.vacuumedSeconds.map { "the last \(Figure.age($0)) ago" } ?? "none needed yet"
        return found.orWell(.journalAutovacuum, "on, by count; \(table.vacuumCount) vacuums, \(last)")
    }

    private func deadRows(_ table: PostgresFacts.JournalTable) -> Finding {
        let text =
            "\(table.deadRows) dead \(table.deadRows == 1 ? "row" : "rows"), \(Figure.bytes(table.bytes)) with indexes"
        guard table.deadRows > limits.deadRows else { return Finding(.journalDeadRows, .well, text) }
        return Finding(
            .journalDeadRows,
            .problem,
            text,
            why: "vacuum does not get through: see what holds it back below; each claim reads what it must not clean",
            mend: .sql("VACUUM freshet.change;")
        )
    }

    /// What holds vacuum back.
    func vacuum(_ postgres: PostgresFacts) -> [Finding] {
        let why = "no row that was deleted since it began can be cleaned, and the journal is deleted from all day"
        let transactions: [Finding]
        switch postgres.openTransactions {
        case .unknown(let reason):
            transactions = [
                unchecked(
                    .vacuumTransactions,
                    reason,
                    mend: reason == PostgresFacts.OpenTransaction.hidden(from: postgres.server.role)
                        ? .sql("GRANT pg_read_all_stats TO \(postgres.server.quotedRole);") : nil
                )
            ]
        case .known(let open):
            let longest = open.map(\.seconds).max()
            transactions = open.filter { $0.seconds > limits.longTransaction.inSeconds }.map { transaction in
                Finding(
                    .vacuumTransactions,
                    transaction.seconds > limits.harmfulTransaction.inSeconds ? .problem : .advice,
                    subject: "\(transaction.processIdentifier)",
                    "backend \(transaction.processIdentifier) (\(transaction.role)"
                        + (transaction.application.isEmpty ? "" : ", \(transaction.application)")
                        + ") has had a transaction open for \(Figure.age(transaction.seconds)), \(transaction.state)",
                    why: why,
                    mend: .sql("SELECT pg_terminate_backend(\(transaction.processIdentifier));")
                )
            }.orWell(
                .vacuumTransactions,
                longest.map { "the longest transaction is \(Figure.age($0)) old" } ?? "no transaction is open"
            )
        }
        return transactions
            + check(.vacuumPrepared, postgres.preparedTransactions) { prepared in
                prepared.filter { $0.seconds > limits.longTransaction.inSeconds }.map { transaction in
                    let name = "'\(transaction.name.replacing("'", with: "''"))'"
                    return Finding(
                        .vacuumPrepared,
                        transaction.seconds > limits.harmfulTransaction.inSeconds ? .problem : .advice,
                        subject: transaction.name,
                        "transaction \(name) of \(transaction.owner) was prepared \(Figure.age(transaction.seconds)) ago, "
                            + "and not ended since",
                        why: "\(why); its locks are held, too",
                        mend: .sql("ROLLBACK PREPARED \(name);")
                    )
                }.orWell(.vacuumPrepared, prepared.isEmpty ? "none" : "\(prepared.count), all young")
            }
            + check(.vacuumSlots, postgres.replicationSlots) { slots in
                check(.vacuumSlots, postgres.standbys) { standbys in
                    (slots.compactMap { finding($0, why) } + standbys.compactMap { finding($0, why) }).orWell(
                        .vacuumSlots,
                        slots.isEmpty && standbys.isEmpty
                            ? "none holds anything back"
                            : "\(slots.count) slots and \(standbys.count) standbys hold rows back, none of them old ones"
                    )
                }
            }
    }

    /// A slot, where what it holds back is old.
    private func finding(_ slot: PostgresFacts.ReplicationSlot, _ why: String) -> Finding? {
        let age = slot.rowAge ?? slot.catalogAge ?? 0
        guard age >= limits.heldBackTransactions else { return nil }
        let holdsRows = slot.rowAge != nil
        let what = "holds back \(holdsRows ? "vacuum" : "vacuum of the catalogs") by \(age) transactions"
        let severity: Finding.Severity =
            holdsRows && age >= limits.harmfulHeldBackTransactions ? .problem : .advice
        if slot.isActive {
            // A subscriber's catalogs are held back for as long as it takes to follow; it will.
            guard holdsRows else { return nil }
            return Finding(
                .vacuumSlots,
                severity,
                subject: slot.name,
                "slot \(slot.name) is in use, and \(what)",
                why: why,
                mend: Self.mendOfStandby
            )
        }
        return Finding(
            .vacuumSlots,
            severity,
            subject: slot.name,
            "slot \(slot.name) is used by nobody, and \(what)",
            why: holdsRows ? why : "the catalogs grow, and WAL is kept for it without end",
            mend: .sql("SELECT pg_drop_replication_slot('\(slot.name.replacing("'", with: "''"))');")
        )
    }

    /// A standby that has no slot, where what it holds back is old.
    private func finding(_ standby: PostgresFacts.Standby, _ why: String) -> Finding? {
        guard standby.rowAge >= limits.heldBackTransactions else { return nil }
        return Finding(
            .vacuumSlots,
            standby.rowAge >= limits.harmfulHeldBackTransactions ? .problem : .advice,
            subject: standby.name,
            "standby \(standby.name) holds back vacuum by \(standby.rowAge) transactions (hot_standby_feedback)",
            why: why,
            mend: Self.mendOfStandby
        )
    }

    private static let mendOfStandby = Mend.advice(
        "end the long transactions on the standby, or set hot_standby_feedback = off there"
    )
}
