import Postgres

extension Claim {
    /// Reads the rows of the claim statement; see ``Journal/claim(facts:)`` for their layout.
    ///
    /// - Parameters:
    ///   - hasFacts: Whether the statement was one that looks the facts up.
    ///   - collapseThreshold: How many links are resolved one by one at the most.
    init(_ result: borrowing QueryResult, hasFacts: Bool, collapseThreshold: Int64) throws {
        var claim = Claim(
            snapshot: "",
            rowCount: 0,
            deletedCount: 0,
            mark: nil,
            acknowledgedTriggers: nil,
            attachments: "",
            attachedTables: [],
            backlog: .collapsed,
            facts: hasFacts ? Facts() : nil
        )
        var changes: [Change] = []
        for row in 0..<result.rowCount {
            switch result.string(row, Column.kind) {
            case "pass":
                claim.snapshot = result.string(row, Column.text1) ?? ""
                claim.mark = result.string(row, Column.text2)
                claim.acknowledgedTriggers = result.string(row, Column.text3)
                claim.rowCount = try result.int64(row, Column.number1) ?? 0
                claim.deletedCount = try result.int64(row, Column.number2) ?? 0
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
                changes.append(try Change(result, row: row))
            case "link":
                guard let detectorID = try result.int64(row, Column.number1),
                    let workflowID = try result.int64(row, Column.number2)
                else { continue }  // A link of nothing: no detector has it.
                claim.facts?.links.append(Link(detectorID: detectorID, workflowID: workflowID))
            case "environment":
                guard let workflowID = try result.int64(row, Column.number1) else { continue }
                claim.facts?.environments.updateValue(
                    try result.int64(row, Column.number2),
                    forKey: workflowID
                )
            default:
                throw WorkerError.unexpectedClaimRow(result.string(row, Column.kind) ?? "NULL")
            }
        }
        // Beyond the cap the statement returns no changes at all, and of the links not all.
        let linkCount = Int64(claim.facts?.links.count ?? 0)
        if changes.count == claim.rowCount, linkCount <= collapseThreshold { claim.backlog = .changes(changes) }
        self = claim
    }

    fileprivate enum Column {
        static let kind = 0
        static let text1 = 1
        static let text2 = 2
        static let text3 = 3
        static let number1 = 4
        static let number2 = 5
        static let array1 = 6
        static let array2 = 7
        static let array3 = 8
        static let array4 = 9
    }
}

extension Change {
    fileprivate init(_ result: borrowing QueryResult, row: Int) throws {
        subject = result.string(row, Claim.Column.text1).flatMap(Subject.init(rawValue:))
        operation = result.string(row, Claim.Column.text2) ?? ""
        applicationName = result.string(row, Claim.Column.text3)
        rowCount = try result.int64(row, Claim.Column.number1) ?? 0
        changedAtMicroseconds = try result.int64(row, Claim.Column.number2) ?? 0
        detectorIDs = try result.int64Array(row, Claim.Column.array1) ?? []
        workflowIDs = try result.int64Array(row, Claim.Column.array2) ?? []
        oldEnvironmentIDs = try result.int64Array(row, Claim.Column.array3)
        newEnvironmentIDs = try result.int64Array(row, Claim.Column.array4)
    }
}
