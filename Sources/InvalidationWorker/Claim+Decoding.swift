import Keyspace
import Postgres

extension Claim {
    /// Reads the rows of the claim statement; see ``Journal/claim(_:facts:)`` for their layout.
    ///
    /// - Parameters:
    ///   - rules: Those of the caches that the statement was made for.
    ///   - factsProblems: The caches whose facts the statement does not look up, and why.
    ///   - collapseThreshold: How many rows a look-up that fans out may return.
    ///   - received: When the result had come.
    init(
        _ result: borrowing QueryResult,
        rules: [any CacheRules],
        factsProblems: [String: String],
        collapseThreshold: Int64,
        received: ContinuousClock.Instant = .now
    ) throws {
        self.init(snapshot: "", rowCount: 0, deletedCount: 0, caches: [])
        let names = rules.map(\.name)
        var parts = rules.map { CacheRows(rules: $0) }
        for row in 0..<result.rowCount {
            let kind = result.string(row, Column.kind) ?? "NULL"
            if kind == "pass" {
                snapshot = result.string(row, Column.text1) ?? ""
                rowCount = try result.int64(row, Column.number1) ?? 0
                deletedCount = try result.int64(row, Column.number2) ?? 0
                continue
            }
            if kind == "clock" {
                clock = try result.int64(row, Column.number1).map { Clock(microseconds: $0, received: received) }
                continue
            }
            guard let cache = result.string(row, Column.cache), let place = names.firstIndex(of: cache) else {
                // Of a cache that a newer schema has: whoever serves it finds a mark that Redis does not have.
                if kind == "attached" || kind == "attachments" { continue }
                throw WorkerError.unexpectedClaimRow(kind)
            }
            try parts[place].add(kind, result, row: row)
        }
        caches = zip(names, parts).map { name, part in
            part.resolved(factsProblem: factsProblems[name], collapseThreshold: collapseThreshold)
        }.filter { $0.isAttached || $0.rowCount > 0 }
    }

    fileprivate enum Column {
        static let kind = 0
        static let cache = 1
        static let text1 = 2
        static let text2 = 3
        static let text3 = 4
        static let text4 = 5
        static let number1 = 6
        static let number2 = 7
        static let number3 = 8
        static let hint = 9
        static let firstArray = 10
    }
}

/// The rows of one cache, while they are read.
private struct CacheRows {
    let rules: any CacheRules
    var claim: CacheClaim
    var changes: [JournalRow] = []
    var facts: [FactRow] = []
    /// Of each look-up that fans out, how many rows it returned.
    var fannedOut: [String: Int64] = [:]

    init(rules: any CacheRules) {
        self.rules = rules
        claim = CacheClaim(cache: rules.name)
    }

    mutating func add(_ kind: String, _ result: borrowing QueryResult, row: Int) throws {
        typealias Column = Claim.Column
        switch kind {
        case "cache":
            claim.mark = result.string(row, Column.text1)
            claim.acknowledgedTriggers = result.string(row, Column.text2)
            claim.rowCount = try result.int64(row, Column.number1) ?? 0
        case "attachments":
            claim.attachments = result.string(row, Column.text1) ?? ""
        case "attached":
            claim.attachedTables.append(
                AttachedTable(
                    subject: result.string(row, Column.text1) ?? "",
                    fingerprint: result.string(row, Column.text2) ?? "",
                    problem: result.string(row, Column.text3)
                )
            )
        case "change":
            changes.append(try JournalRow(result, row: row, columns: rules.journalColumns))
        case "fact", "fan":
            let fact = FactRow(
                kind: result.string(row, Column.text1) ?? "",
                number1: try result.int64(row, Column.number1),
                number2: try result.int64(row, Column.number2),
                text1: result.string(row, Column.text2),
                text2: result.string(row, Column.text3)
            )
            facts.append(fact)
            if kind == "fan" { fannedOut[fact.kind, default: 0] += 1 }
        default:
            throw WorkerError.unexpectedClaimRow(kind)
        }
    }

    func resolved(factsProblem: String?, collapseThreshold: Int64) -> CacheClaim {
        var claim = claim
        claim.resolve(
            // Beyond the cap the statement returns no changes at all, and of a look-up that fans out one row too many.
            Int64(changes.count) == claim.rowCount && fannedOut.values.allSatisfy { $0 <= collapseThreshold }
                ? changes : nil,
            facts: claim.attachments.isEmpty ? nil : facts,
            factsProblem: factsProblem,
            by: rules
        )
        return claim
    }
}

extension CacheClaim {
    /// Decides what the rows of the cache invalidate.
    ///
    /// - Parameters:
    ///   - changes: Nil where there are too many.
    ///   - facts: Of the same snapshot; nil where no table is attached.
    ///   - factsProblem: Why they could not be looked up.
    package mutating func resolve(
        _ changes: [JournalRow]?,
        facts: [FactRow]?,
        factsProblem: String?,
        by rules: any CacheRules
    ) {
        self.factsProblem = isAttached ? factsProblem : nil
        if let changes {
            backlog = .changes(changes)
            self.facts = factsProblem == nil ? facts : nil
            scopes = rules.scopes(of: changes, facts: self.facts)
        } else {
            backlog = .collapsed
            scopes = ScopeSet([.namespace])
        }
    }
}

extension JournalRow {
    /// A row in the layout of the claim statement's kind `change`.
    init(_ result: borrowing QueryResult, row: Int, columns: [JournalColumn]) throws {
        self.init(
            subject: result.string(row, Claim.Column.text1) ?? "",
            operation: result.string(row, Claim.Column.text2) ?? ""
        )
        applicationName = result.string(row, Claim.Column.text3)
        userName = result.string(row, Claim.Column.text4)
        rowCount = try result.int64(row, Claim.Column.number1) ?? 0
        changedAtMicroseconds = try result.int64(row, Claim.Column.number2) ?? 0
        committedAtMicroseconds = try result.int64(row, Claim.Column.number3)
        hint = result.string(row, Claim.Column.hint)
        for (place, column) in columns.enumerated() {
            let place = Claim.Column.firstArray + place
            switch column.kind {
            case .integers: integers[column.name] = try result.int64Array(row, place)
            case .texts: texts[column.name] = try result.stringArray(row, place)
            }
        }
    }
}
