// What an application does to the three tables, and what the triggers of sql/m0004_triggers.sql journal of it.

/// A statement of an application.
package enum ApplicationStatement: Hashable, Sendable {
    /// ON CONFLICT DO NOTHING.
    case insertWorkflow(Int64, environment: Int64?)
    case moveWorkflow(Int64, environment: Int64?)
    case moveAllWorkflows(environment: Int64?)
    case toggleWorkflow(Int64)
    case renameWorkflow(Int64)
    case deleteWorkflow(Int64)
    case rekeyWorkflow(Int64, to: Int64)
    /// ON CONFLICT DO NOTHING.
    case insertLink(detector: Int64, workflow: Int64)
    case deleteLink(detector: Int64, workflow: Int64)
    case deleteLinksOfWorkflow(Int64)
    case relink(detector: Int64, workflow: Int64, to: Int64)
    case reattach(detector: Int64, workflow: Int64, to: Int64)
    /// Of a detector: what a reader is told does not depend on it, but it is journaled.
    case touchDetector(Int64)
    case invalidateAll
    case invalidateDetector(Int64)
    case invalidateEntry(detector: Int64, environment: Int64?)
}

extension PostgresModel {
    /// A statement on its way: what it has found, and how far it got.
    package final class Execution {
        fileprivate let statement: ApplicationStatement
        fileprivate let transaction: Transaction
        fileprivate var snapshot: Snapshot?
        fileprivate var candidates: [Int] = []
        fileprivate var place = 0
        /// The version that a unique key is being checked for; -1 none.
        fileprivate var written = -1
        fileprivate var workflows: [(old: WorkflowRow?, new: WorkflowRow?)] = []
        fileprivate var links: [(old: LinkRow?, new: LinkRow?)] = []

        package init(_ statement: ApplicationStatement, _ transaction: Transaction) {
            self.statement = statement
            self.transaction = transaction
        }
    }

    /// Goes on with a statement as far as it gets.
    func advance(_ execution: Execution) -> Progress {
        let transaction = execution.transaction
        let snapshot = execution.snapshot ?? snapshot(of: transaction)
        let isNew = execution.snapshot == nil
        execution.snapshot = snapshot

        func updateWorkflows(
            where isMeant: (WorkflowRow) -> Bool,
            _ change: (WorkflowRow) -> WorkflowRow?
        ) -> Progress {
            let progress = update(execution, &workflows, isNew, isMeant, change, isSameKey: { $0.id == $1.id }) {
                execution.workflows.append(($0, $1))
            }
            return progress == .done ? journalWorkflows(execution) : progress
        }
        func updateLinks(where isMeant: (LinkRow) -> Bool, _ change: (LinkRow) -> LinkRow?) -> Progress {
            let progress = update(execution, &links, isNew, isMeant, change, isSameKey: { $0 == $1 }) {
                execution.links.append(($0, $1))
            }
            return progress == .done ? journalLinks(execution) : progress
        }

        switch execution.statement {
        case .insertWorkflow(let id, let environment):
            let row = WorkflowRow(id: id, environment: environment, content: nextContent())
            let progress = insert(execution, &workflows, row) { $0.id == id }
            if case .done = progress, execution.written >= 0 {
                execution.workflows.append((nil, row))
                return journalWorkflows(execution)
            }
            return progress
        case .insertLink(let detector, let workflow):
            let row = LinkRow(detector: detector, workflow: workflow)
            let progress = insert(execution, &links, row) { $0 == row }
            if case .done = progress, execution.written >= 0 {
                execution.links.append((nil, row))
                return journalLinks(execution)
            }
            return progress
        case .moveWorkflow(let id, let environment):
            return updateWorkflows(where: { $0.id == id }) { changed($0) { $0.environment = environment } }
        case .moveAllWorkflows(let environment):
            return updateWorkflows(where: { _ in true }) { changed($0) { $0.environment = environment } }
        case .toggleWorkflow(let id):
            return updateWorkflows(where: { $0.id == id }) { changed($0) { $0.isEnabled.toggle() } }
        case .renameWorkflow(let id):
            return updateWorkflows(where: { $0.id == id }) { changed($0) { _ in } }
        case .rekeyWorkflow(let id, let other):
            return updateWorkflows(where: { $0.id == id }) { changed($0) { $0.id = other } }
        case .deleteWorkflow(let id):
            return updateWorkflows(where: { $0.id == id }) { _ in nil }
        case .deleteLink(let detector, let workflow):
            return updateLinks(where: { $0.detector == detector && $0.workflow == workflow }) { _ in nil }
        case .deleteLinksOfWorkflow(let workflow):
            return updateLinks(where: { $0.workflow == workflow }) { _ in nil }
        case .relink(let detector, let workflow, let other):
            return updateLinks(where: { $0.detector == detector && $0.workflow == workflow }) {
                LinkRow(detector: $0.detector, workflow: other)
            }
        case .reattach(let detector, let workflow, let other):
            return updateLinks(where: { $0.detector == detector && $0.workflow == workflow }) {
                LinkRow(detector: other, workflow: $0.workflow)
            }
        case .touchDetector(let id):
            journal(transaction, "detector", "update", detectors: [id])
        case .invalidateAll:
            write(JournalEntry(id: 0, xid: 0, cache: nil, subject: "namespace", operation: "invalidate"), transaction)
        case .invalidateDetector(let id):
            journal(transaction, "detector", "invalidate", detectors: [id])
        case .invalidateEntry(let detector, let environment):
            journal(transaction, "entry", "invalidate", detectors: [detector], new: [environment])
        }
        return .done
    }

    private func changed(_ row: WorkflowRow, _ change: (inout WorkflowRow) -> Void) -> WorkflowRow {
        var row = row
        change(&row)
        row.content = nextContent()
        return row
    }

    private func insert<Row>(
        _ execution: Execution,
        _ versions: inout [Version<Row>],
        _ row: Row,
        isSame: (Row) -> Bool
    ) -> Progress {
        let transaction = execution.transaction
        guard let snapshot = execution.snapshot else { return .done }
        switch uniqueness(versions, transaction, snapshot, where: isSame) {
        case .busy(let other): return .waits(for: other)
        case .taken(let isVisible):
            return isVisible || transaction.isolation == .readCommitted ? .done : .failed("40001")
        case .free:
            assignXid(transaction)
            execution.written = versions.count
            versions.append(Version(row: row, xmin: transaction.xid))
            return .done
        }
    }

    /// UPDATE, and DELETE where the change is nil.
    private func update<Row>(
        _ execution: Execution,
        _ versions: inout [Version<Row>],
        _ isNew: Bool,
        _ isMeant: (Row) -> Bool,
        _ change: (Row) -> Row?,
        isSameKey: (Row, Row) -> Bool,
        _ note: (Row, Row?) -> Void
    ) -> Progress {
        let transaction = execution.transaction
        guard let snapshot = execution.snapshot else { return .done }
        if isNew {
            for (place, version) in versions.enumerated()
            where isMeant(version.row) && isVisible(version, snapshot, transaction.xid) {
                execution.candidates.append(place)
            }
        }
        while execution.place < execution.candidates.count {
            if execution.written < 0 {
                assignXid(transaction)
                let start = execution.candidates[execution.place]
                switch lock(&versions, start, transaction) {
                case .busy(let other): return .waits(for: other)
                case .conflict: return .failed("40001")
                case .gone: break
                case .mine(let place):
                    guard place == start || isMeant(versions[place].row) else { break }
                    let old = versions[place].row
                    let new = change(old)
                    versions[place].xmax = transaction.xid
                    if let new {
                        versions[place].next = versions.count
                        versions.append(Version(row: new, xmin: transaction.xid))
                        if !isSameKey(old, new) { execution.written = versions.count - 1 }
                    }
                    note(old, new)
                }
            }
            if execution.written >= 0 {
                let row = versions[execution.written].row
                switch uniqueness(
                    versions,
                    transaction,
                    snapshot,
                    except: execution.written,
                    where: { isSameKey($0, row) }
                )
                {
                case .busy(let other): return .waits(for: other)
                case .taken: return .failed("23505")
                case .free: execution.written = -1
                }
            }
            execution.place += 1
        }
        return .done
    }

    // MARK: The triggers

    /// - Parameter rows: How many the statement touched, where that is not how many keys or pairs are recorded.
    private func journal(
        _ transaction: Transaction,
        _ subject: String,
        _ operation: String,
        detectors: [Int64?]? = nil,
        workflows: [Int64?]? = nil,
        old: [Int64?]? = nil,
        new: [Int64?]? = nil,
        rows: Int? = nil
    ) {
        let count = max(detectors?.count ?? 0, workflows?.count ?? 0)
        var entry = JournalEntry(id: 0, xid: 0, cache: "workflows", subject: subject, operation: operation)
        entry.rowCount = Int64(count)
        if count > escalationRows {
            entry.operation = "escalation"
            entry.rowCount = Int64(rows ?? count)
        } else {
            entry.detectors = detectors
            entry.workflows = workflows
            entry.old = flaws.contains(.oldEnvironmentForgotten) && operation == "update" ? new : old
            entry.new = new
        }
        if flaws.contains(.resolvedInTheTrigger) {
            // What the writer's own transaction sees.
            let snapshot = currentSnapshot()
            for link in links
            where isVisible(link, snapshot, transaction.xid) && workflows?.contains(link.row.workflow) == true {
                entry.linkedThen.append(link.row)
            }
            for row in self.workflows
            where isVisible(row, snapshot, transaction.xid) && workflows?.contains(row.row.id) == true {
                entry.environmentsThen[row.row.id] = row.row.environment
            }
        }
        write(entry, transaction)
    }

    private func journalWorkflows(_ execution: Execution) -> Progress {
        guard !execution.workflows.isEmpty else { return .done }
        let transaction = execution.transaction
        transaction.changesTruth = true
        guard triggersEnabled else { return .done }
        let kept = execution.workflows.filter { $0.old?.id == $0.new?.id }
        let gone = execution.workflows.filter { $0.old != nil && $0.old?.id != $0.new?.id }.compactMap(\.old)
        var come = execution.workflows.filter { $0.new != nil && $0.old?.id != $0.new?.id }.compactMap(\.new)
        if flaws.contains(.workflowInsertsIgnored) { come = [] }
        // A row whose key was changed counts twice, as one that is gone and one that has come. What the triggers infer from some of the
        // rows of a large statement needs no model: these change all that they touch.
        if kept.count + gone.count + come.count > escalationRows {
            let ids = (kept.compactMap(\.new) + gone + come).map(\.id)
            journal(transaction, "workflow", "escalation", workflows: ids, rows: execution.workflows.count)
            return .done
        }
        if !kept.isEmpty {
            journal(
                transaction,
                "workflow",
                "update",
                workflows: kept.map { $0.new?.id },
                old: kept.map { $0.old?.environment },
                new: kept.map { $0.new?.environment }
            )
        }
        if !gone.isEmpty {
            journal(transaction, "workflow", "delete", workflows: gone.map(\.id), old: gone.map(\.environment))
        }
        if !come.isEmpty {
            journal(transaction, "workflow", "insert", workflows: come.map(\.id), new: come.map(\.environment))
        }
        return .done
    }

    private func journalLinks(_ execution: Execution) -> Progress {
        guard !execution.links.isEmpty else { return .done }
        let transaction = execution.transaction
        transaction.changesTruth = true
        guard triggersEnabled else { return .done }
        // A row whose keys were changed counts with the old and with the new ones.
        var pairs: [LinkRow] = []
        for (old, new) in execution.links where old != new {
            if let old, new == nil || !flaws.contains(.newPairOnly) { pairs.append(old) }
            if let new { pairs.append(new) }
        }
        guard !pairs.isEmpty else { return .done }
        let operation =
            execution.links[0].old == nil ? "insert" : execution.links[0].new == nil ? "delete" : "update"
        journal(
            transaction,
            "link",
            operation,
            detectors: pairs.map(\.detector),
            workflows: pairs.map(\.workflow),
            rows: execution.links.count
        )
        return .done
    }
}
