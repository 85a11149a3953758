extension Diagnosis {
    /// The attached tables and their triggers.
    func tables(_ postgres: PostgresFacts) -> [Finding] {
        switch postgres.tables {
        case .unknown(let reason):
            return [.tablesAttached, .tablesTriggers, .tablesKind, .tablesColumns, .tablesLevel, .tablesRowSecurity].map
            {
                unchecked($0, reason)
            } + strayTriggers(postgres)
        case .known(let tables):
            return attached(tables) + triggers(tables) + kinds(tables) + columns(tables) + levels(tables)
                + rowSecurity(tables, postgres) + strayTriggers(postgres)
        }
    }

    private func attached(_ tables: [PostgresFacts.Table]) -> [Finding] {
        var found: [Finding] = []
        if !tables.contains(where: { $0.cache == Self.firstCache }) {
            found.append(
                Finding(
                    .tablesAttached,
                    .problem,
                    subject: Self.firstCache,
                    "no table of the cache \(Self.firstCache) is attached",
                    why: "no change is journaled, so nothing is ever invalidated",
                    mend: .shell("freshet migrate")
                )
            )
        }
        for table in tables where !table.exists {
            found.append(
                Finding(
                    .tablesAttached,
                    .problem,
                    subject: table.name,
                    "\(table.name) (\(table.subject)) does not exist",
                    why: "if the table has another name now, its changes are not journaled under the new one",
                    mend: .advice(
                        "if it was renamed: SELECT freshet.detach"
                            + (table.cache == Self.firstCache ? "" : "_\(table.cache)")
                            + "(), then attach the tables by the names that they have now"
                    )
                )
            )
        }
        // What the view sees and none of the other checks does. What it says of row-level security is about the role that asks, and the
        // last that it looks at: what it says instead is another fault.
        for table in tables where table.exists && table.isPlain {
            guard let problem = table.problem, !problem.hasPrefix("row-level security ") else { continue }
            found.append(
                Finding(
                    .tablesAttached,
                    .problem,
                    subject: table.name,
                    problem,
                    why: "the worker does not vouch for a cache whose tables are not as attached",
                    mend: mend(table, in: tables)
                )
            )
        }
        let names = tables.map(\.name)
        return found.orWell(.tablesAttached, Figure.list(Array(Set(names)).sorted()))
    }

    private func triggers(_ tables: [PostgresFacts.Table]) -> [Finding] {
        var found: [Finding] = []
        for table in tables where table.exists {
            var wrong: [String] = []
            if !table.missingTriggers.isEmpty { wrong.append("missing: \(Figure.list(table.missingTriggers))") }
            if !table.disabledTriggers.isEmpty {
                wrong.append(
                    "not enabled ALWAYS (tgenabled is A then): \(Figure.list(table.disabledTriggers))"
                )
            }
            guard !wrong.isEmpty else { continue }
            found.append(
                Finding(
                    .tablesTriggers,
                    .problem,
                    subject: table.name,
                    "triggers of \(table.name) \(wrong.joined(separator: "; "))",
                    why:
                        "changes of \(table.name) are not journaled, or not in every session; the worker withholds its promise",
                    mend: mend(table, in: tables)
                )
            )
        }
        let count = tables.reduce(0) { $0 + $1.triggers.count }
        return found.orWell(.tablesTriggers, "\(count) triggers on \(tables.count) attachments, enabled ALWAYS")
    }

    private func mend(
        _ table: PostgresFacts.Table,
        in tables: [PostgresFacts.Table],
        level: String? = nil
    ) -> Mend {
        AttachStatement.text(attaching: table.cache, tables, level: level).map { .sql($0) }
            ?? .advice("attach the tables of the cache \(table.cache) again")
    }

    private func kinds(_ tables: [PostgresFacts.Table]) -> [Finding] {
        var found: [Finding] = []
        for table in tables where table.exists && !(table.isOrdinary && table.relatives.isEmpty) {
            found.append(
                Finding(
                    .tablesKind,
                    .problem,
                    subject: table.name,
                    "\(table.name) is no ordinary table any more"
                        + (table.relatives.isEmpty
                            ? ": it is partitioned, or a partition"
                            : ": it is of one family with \(Figure.list(table.relatives)), which bear none of its triggers"),
                    why:
                        "a statement on a partition or a child fires that table's triggers only, so changes are missed",
                    mend: table.isOrdinary
                        ? .sql(
                            table.relatives.map { "ALTER TABLE \($0) NO INHERIT \(table.name);" }.joined(separator: " ")
                        )
                        : .advice(
                            "make it a table without partitions and parents; what has partitions cannot be attached"
                        )
                )
            )
        }
        return found.orWell(.tablesKind, "no partitions, no inheritance")
    }

    private func columns(_ tables: [PostgresFacts.Table]) -> [Finding] {
        var found: [Finding] = []
        for table in tables where table.exists && !table.missingColumns.isEmpty {
            let renamed = Set(table.missingColumns.map { "\(table.name).\($0)" })
            found.append(
                Finding(
                    .tablesColumns,
                    .problem,
                    subject: table.name,
                    "\(table.name) has no column \(Figure.list(table.missingColumns)) any more",
                    why: "its triggers cannot tell what was changed, so each change invalidates everything",
                    mend: .advice(
                        AttachStatement.text(attaching: table.cache, tables, renamed: renamed)
                            ?? "attach the tables of the cache \(table.cache) with the columns that they have now"
                    )
                )
            )
        }
        return found.orWell(.tablesColumns, "every column that is read is there")
    }

    private func levels(_ tables: [PostgresFacts.Table]) -> [Finding] {
        var found: [Finding] = []
        for table in tables where table.isSubscribed && table.level == "statement" {
            found.append(
                Finding(
                    .tablesLevel,
                    .problem,
                    subject: table.name,
                    "a subscription writes \(table.name), and its triggers are for statements",
                    why: "what a subscription applies fires row triggers only, so its changes are missed",
                    mend: mend(table, in: tables, level: "row")
                )
            )
        }
        return found.orWell(
            .tablesLevel,
            tables.contains { $0.level == "row" } ? "triggers for rows" : "triggers for statements, and no subscription"
        )
    }

    private func rowSecurity(_ tables: [PostgresFacts.Table], _ postgres: PostgresFacts) -> [Finding] {
        let secured = tables.filter { $0.hasRowSecurity && AttachStatement.readSubjects.contains($0.subject) }
        guard !secured.isEmpty else {
            return [Finding(.tablesRowSecurity, .well, "none on the tables that the worker reads")]
        }
        return check(.tablesRowSecurity, postgres.members) { members in
            let workers = members.filter { $0.role == "freshet_worker" && $0.canLogIn }
            let bound = workers.filter { !$0.bypassesRowSecurity && !$0.isSuperuser }
            let names = Figure.list(secured.map(\.name))
            guard !bound.isEmpty else {
                return [Finding(.tablesRowSecurity, .well, "on \(names); the worker's logins bypass it")]
            }
            return bound.map { login in
                Finding(
                    .tablesRowSecurity,
                    .problem,
                    subject: login.name,
                    "row-level security of \(names) applies to the worker's login \(login.name)",
                    why: "rows that a policy hides cannot be resolved; the worker gets an error instead, "
                        + "and invalidates everything at each change",
                    mend: .sql("ALTER ROLE \(login.name) BYPASSRLS;")
                )
            }
        }
    }

    private func strayTriggers(_ postgres: PostgresFacts) -> [Finding] {
        check(.tablesStrayTriggers, postgres.strayTriggers) { triggers in
            triggers.map { trigger in
                Finding(
                    .tablesStrayTriggers,
                    .advice,
                    subject: trigger.table,
                    "trigger \(trigger.name) on \(trigger.table), which is not attached by that name",
                    why: "a copy that a migration left behind journals changes of something that nobody reads",
                    mend: .sql("DROP TRIGGER \(trigger.name) ON \(trigger.table);")
                )
            }.orWell(.tablesStrayTriggers, "no trigger of Freshet's on other tables")
        }
    }
}

extension PostgresFacts.Table {
    /// Whether the other checks have nothing to say of it.
    fileprivate var isPlain: Bool {
        missingTriggers.isEmpty && disabledTriggers.isEmpty && isOrdinary && relatives.isEmpty && missingColumns.isEmpty
            && !(isSubscribed && level == "statement")
    }
}
