extension Diagnosis {
    /// Who may do what: as documented, and no more.
    func roles(_ postgres: PostgresFacts) -> [Finding] {
        check(.rolesAttributes, postgres.roles, attributes)
            + check(.rolesMembers, postgres.members) { members($0, postgres) }
            + check(.rolesSchemaPrivileges, postgres.schemaGrants) { schemaPrivileges($0, postgres) }
            + check(.rolesTablePrivileges, postgres.tableGrants) { grants in
                check(.rolesTablePrivileges, postgres.tables) { tables in
                    check(.rolesTablePrivileges, postgres.members) { tablePrivileges(grants, tables, $0) }
                }
            }
    }

    private func attributes(_ roles: [PostgresFacts.Role]) -> [Finding] {
        var found: [Finding] = []
        for name in DocumentedGrants.roles where !roles.contains(where: { $0.name == name }) {
            found.append(
                Finding(
                    .rolesAttributes,
                    .problem,
                    subject: name,
                    "there is no role \(name)",
                    why: "nobody can be granted what it stands for",
                    mend: .sql("CREATE ROLE \(name) NOLOGIN;")
                )
            )
        }
        for role in roles where !role.excessAttributes.isEmpty {
            found.append(
                Finding(
                    .rolesAttributes,
                    .problem,
                    subject: role.name,
                    "\(role.name) has \(Figure.list(role.excessAttributes))",
                    why: "it stands for a set of privileges, and needs no attribute at all",
                    mend: .sql(
                        "ALTER ROLE \(role.name) \(role.excessAttributes.map { "NO\($0)" }.joined(separator: " "));"
                    )
                )
            )
        }
        for role in roles where !role.memberOf.isEmpty {
            found.append(
                Finding(
                    .rolesAttributes,
                    .problem,
                    subject: role.name,
                    "\(role.name) is a member of \(Figure.list(role.memberOf))",
                    why: "whoever is granted \(role.name) may do all of that as well",
                    mend: .sql("REVOKE \(role.memberOf.joined(separator: ", ")) FROM \(role.name);")
                )
            )
        }
        return found.orWell(.rolesAttributes, "\(DocumentedGrants.roles.joined(separator: ", ")) cannot log in")
    }

    private func members(_ members: [PostgresFacts.Member], _ postgres: PostgresFacts) -> [Finding] {
        var found: [Finding] = []
        let workers = members.filter { $0.role == "freshet_worker" && $0.canLogIn }
        let owners = Set(members.filter { $0.role == "freshet_owner" }.map(\.name))
        for login in workers where login.isSuperuser {
            found.append(
                Finding(
                    .rolesMembers,
                    .problem,
                    subject: login.name,
                    "\(login.name), a login of the worker, is a superuser",
                    why: "the worker reads columns whose type a table's owner chooses, with casts of its own: "
                        + "a superuser would run them",
                    mend: .sql("ALTER ROLE \(login.name) NOSUPERUSER;")
                )
            )
        }
        for login in workers where !login.isSuperuser && owners.contains(login.name) {
            found.append(
                Finding(
                    .rolesMembers,
                    .advice,
                    subject: login.name,
                    "\(login.name), a login of the worker, is a member of freshet_owner",
                    why: "a worker needs nothing but freshet_worker",
                    mend: .sql("REVOKE freshet_owner FROM \(login.name);")
                )
            )
        }
        for login in workers where !login.isSuperuser {
            let others = login.otherRoles.filter {
                !DocumentedGrants.rolesOfWorkers.contains($0) && $0 != "freshet_owner"
            }
            guard !others.isEmpty else { continue }
            found.append(
                Finding(
                    .rolesMembers,
                    .advice,
                    subject: login.name,
                    "\(login.name), a login of the worker, is a member of \(Figure.list(others))",
                    why:
                        "a worker needs nothing but freshet_worker, and whoever gets hold of its login may do all of that",
                    mend: .sql("REVOKE \(others.joined(separator: ", ")) FROM \(login.name);")
                )
            )
        }
        if case .known(let leader?) = postgres.leader, leader.isSuperuser,
            !workers.contains(where: { $0.name == leader.role })
        {
            found.append(
                Finding(
                    .rolesMembers,
                    .problem,
                    subject: leader.role,
                    "the worker that leads is logged in as the superuser \(leader.role ?? "?")",
                    why: "the worker reads columns whose type a table's owner chooses, with casts of its own: "
                        + "a superuser would run them",
                    mend: .sql("CREATE ROLE app_worker LOGIN IN ROLE freshet_worker;")
                )
            )
        }
        let logins = workers.map(\.name)
        return found.orWell(
            .rolesMembers,
            logins.isEmpty ? "no login has freshet_worker yet" : "the worker's logins: \(Figure.list(logins))"
        )
    }

    private func schemaPrivileges(_ grants: [PostgresFacts.Grant], _ postgres: PostgresFacts) -> [Finding] {
        // Functions that are everybody's are told as such, with the function.
        let granted = Set(
            grants.filter { !($0.grantee == "PUBLIC" && $0.object.hasPrefix("FUNCTION ")) }.map(\.withoutGrantOption)
        )
        var found = DocumentedGrants.inSchema.subtracting(granted).sorted().map { missing(.rolesSchemaPrivileges, $0) }
        switch postgres.missingOfOwner {
        case .known(let grants): found += grants.map { missing(.rolesSchemaPrivileges, $0) }
        case .unknown(let reason): found.append(unchecked(.rolesSchemaPrivileges, subject: "freshet_owner", reason))
        }
        found += grants.filter { $0.isGrantable && DocumentedGrants.inSchema.contains($0.withoutGrantOption) }.map {
            grantable(.rolesSchemaPrivileges, $0)
        }
        found += granted.subtracting(DocumentedGrants.inSchema).sorted().map { grant in
            Finding(
                .rolesSchemaPrivileges,
                .problem,
                subject: grant.grantee,
                "\(grant.grantee) has \(grant.text)",
                why:
                    "nothing of Freshet's needs it; who may write the journal or call its functions can have anything invalidated",
                mend: .sql("REVOKE \(grant.action) FROM \(grant.grantee);")
            )
        }
        return found.orWell(
            .rolesSchemaPrivileges,
            "\(granted.count) privileges in schema freshet, exactly those needed"
        )
    }

    private func grantable(_ check: Check, _ grant: PostgresFacts.Grant) -> Finding {
        Finding(
            check,
            .problem,
            subject: grant.grantee,
            "\(grant.grantee) may grant \(grant.text) to others",
            why: "nothing of Freshet's does; whoever gets hold of a login with it may give it to anybody",
            mend: .sql("REVOKE GRANT OPTION FOR \(grant.action) FROM \(grant.grantee) CASCADE;")
        )
    }

    private func missing(_ check: Check, _ grant: PostgresFacts.Grant) -> Finding {
        Finding(
            check,
            .problem,
            subject: grant.grantee,
            "\(grant.grantee) lacks \(grant.text)",
            why: grant.grantee == "freshet_owner"
                ? "the triggers write as freshet_owner: without the right to, writes of the application fail"
                : "what \(grant.grantee) is for fails without it",
            mend: .sql("GRANT \(grant.action) TO \(grant.grantee);")
        )
    }

    private func tablePrivileges(
        _ grants: [PostgresFacts.Grant],
        _ tables: [PostgresFacts.Table],
        _ members: [PostgresFacts.Member]
    ) -> [Finding] {
        var found: [Finding] = []
        for table in tables where table.exists {
            if !table.isSchemaUsable {
                found.append(
                    missing(
                        .rolesTablePrivileges,
                        PostgresFacts.Grant("USAGE", on: "SCHEMA \(table.schema)", to: "freshet_worker")
                    )
                )
            }
            guard !table.unreadableColumns.isEmpty else { continue }
            let columns = table.unreadableColumns.map(table.quoted).joined(separator: ", ")
            found.append(
                Finding(
                    .rolesTablePrivileges,
                    .problem,
                    subject: "freshet_worker",
                    "freshet_worker may not read \(columns) of \(table.name)",
                    why: "the worker cannot resolve changes, and invalidates everything at each",
                    mend: .sql("GRANT SELECT (\(columns)) ON TABLE \(table.name) TO freshet_worker;")
                )
            )
        }
        // What attach grants, by table.
        var needed: [String: [String: String]] = [:]
        var schemas: Set<String> = []
        for table in tables where AttachStatement.readSubjects.contains(table.subject) {
            for column in table.columns.values {
                needed["TABLE \(table.name)", default: [:]][column] = table.quoted(column)
            }
            schemas.insert("SCHEMA \(table.schema)")
        }
        for grant in grants.sorted() where DocumentedGrants.roles.contains(grant.grantee) {
            if grant.grantee == "freshet_worker" {
                let isNeeded =
                    grant.privilege == "USAGE" && schemas.contains(grant.object)
                    || grant.privilege == "SELECT" && grant.column.map { needed[grant.object]?[$0] != nil } == true
                if isNeeded {
                    if grant.isGrantable { found.append(grantable(.rolesTablePrivileges, grant)) }
                    continue
                }
            }
            var mend = "REVOKE \(grant.action) FROM \(grant.grantee);"
            // Taking SELECT on a table back takes that on its columns too.
            if grant.grantee == "freshet_worker", grant.privilege == "SELECT", grant.column == nil,
                let columns = needed[grant.object]
            {
                mend +=
                    " GRANT SELECT (\(columns.values.sorted().joined(separator: ", "))) ON \(grant.object) TO freshet_worker;"
            }
            found.append(
                Finding(
                    .rolesTablePrivileges,
                    .problem,
                    subject: grant.grantee,
                    "\(grant.grantee) has \(grant.text)",
                    why: "\(grant.grantee) needs "
                        + (grant.grantee == "freshet_worker" ? "to read the columns that it resolves by" : "nothing")
                        + " outside of schema freshet; grant the rest to the logins that need it",
                    mend: .sql(mend)
                )
            )
        }
        found += ofLogins(grants, members)
        return found.orWell(
            .rolesTablePrivileges,
            "freshet_worker reads \(needed.values.reduce(0) { $0 + $1.count }) columns of \(needed.count) tables, and nothing else"
        )
    }
}

extension Diagnosis {
    /// What the worker's logins have been granted themselves, a finding each.
    private func ofLogins(_ grants: [PostgresFacts.Grant], _ members: [PostgresFacts.Member]) -> [Finding] {
        // Who audits or reads as well reads the application's tables, as documented.
        let readers = Set(members.filter { ["freshet_auditor", "freshet_reader"].contains($0.role) }.map(\.name))
        let own = grants.filter { grant in
            !DocumentedGrants.roles.contains(grant.grantee)
                && !(readers.contains(grant.grantee) && ["SELECT", "USAGE"].contains(grant.privilege))
        }
        return Dictionary(grouping: own, by: \.grantee).sorted { $0.key < $1.key }.map { login, grants in
            Finding(
                .rolesTablePrivileges,
                .advice,
                subject: login,
                "\(login), a login of the worker, has by itself \(Figure.list(grants.sorted().map(\.text)))",
                why: "a worker needs nothing but freshet_worker, and whoever gets hold of its login may do all of that",
                mend: .sql(grants.sorted().map { "REVOKE \($0.action) FROM \(login);" }.joined(separator: " "))
            )
        }
    }
}

extension PostgresFacts.Table {
    /// A column of it as SQL text.
    fileprivate func quoted(_ column: String) -> String { quotedColumns[column] ?? column }
}

extension PostgresFacts.Grant {
    /// The same, however it was granted.
    fileprivate var withoutGrantOption: PostgresFacts.Grant {
        var grant = self
        grant.isGrantable = false
        return grant
    }

    /// What GRANT and REVOKE say of it, without the grantee.
    fileprivate var action: String {
        "\(privilege)\(quotedColumn.map { " (\($0))" } ?? "") ON \(object)"
    }

    /// The same for people.
    fileprivate var text: String { action }
}
