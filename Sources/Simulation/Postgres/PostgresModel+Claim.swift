// The worker's statements: the claim of Journal+SQL.swift, the acknowledgement, the look for an identity.

package import InvalidationWorker

extension PostgresModel {
    /// A claim on its way.
    package final class ClaimExecution {
        fileprivate let request: PumpStateMachine.ClaimRequest
        fileprivate let transaction: Transaction
        fileprivate var snapshot: Snapshot?
        fileprivate var seen: [Int] = []
        fileprivate var place = 0
        fileprivate var deletedCount = 0
        fileprivate var marked: Set<String> = []
        /// What a cursor over ids has passed.
        fileprivate let cursor: Int
        /// What was claimed.
        package fileprivate(set) var claim: Claim?
        /// The snapshot of it.
        var claimed: Snapshot? { snapshot }
        /// The greatest id of what was claimed.
        fileprivate(set) var lastID = 0

        package init(_ request: PumpStateMachine.ClaimRequest, _ transaction: Transaction, cursor: Int = 0) {
            self.request = request
            self.transaction = transaction
            self.cursor = cursor
        }
    }

    /// Goes on with a claim as far as it gets.
    func advance(_ execution: ClaimExecution, collapseThreshold: Int64) -> Progress {
        let transaction = execution.transaction
        let snapshot = look(execution)
        // gone
        while execution.place < execution.seen.count {
            assignXid(transaction)
            switch lock(&journal, execution.seen[execution.place], transaction) {
            case .busy(let other): return .waits(for: other)
            case .mine(let place):
                journal[place].xmax = transaction.xid
                execution.deletedCount += 1
                execution.lastID = max(execution.lastID, journal[place].row.id)
            case .gone, .conflict: break
            }
            execution.place += 1
        }
        // What the statement returns is of its snapshot, as the fences were before it marked them.
        let claim = execution.claim ?? claim(execution, snapshot, collapseThreshold: collapseThreshold)
        execution.claim = claim
        // marked
        if !flaws.contains(.markOutsideTheClaim) {
            for part in claim.caches where part.rowCount > 0 && !execution.marked.contains(part.cache) {
                let progress = setFence(part.cache, transaction) { $0.mark = execution.request.nextMark }
                if progress != .done { return progress }
                execution.marked.insert(part.cache)
            }
        }
        return .done
    }

    /// Takes the snapshot of a claim, and what it shows.
    @discardableResult
    func look(_ execution: ClaimExecution) -> Snapshot {
        if let begun = execution.snapshot { return begun }
        let snapshot = currentSnapshot()
        execution.snapshot = snapshot
        execution.seen = look(execution.request.floor, snapshot, execution.transaction, after: execution.cursor)
        return snapshot
    }

    private func look(
        _ floor: SnapshotFloor?,
        _ snapshot: Snapshot,
        _ transaction: Transaction,
        after cursor: Int
    ) -> [Int] {
        let xmax = floor.flatMap { UInt64($0.xmax) } ?? 0
        let inProgress =
            flaws.contains(.floorWithoutInProgress) ? [] : floor?.inProgress.compactMap { UInt64($0) } ?? []
        var seen: [Int] = []
        for (place, version) in journal.enumerated() {
            if flaws.contains(.idsAsCursor) {
                guard version.row.id > cursor else { continue }
            } else {
                guard version.row.xid >= xmax || inProgress.contains(version.row.xid) else { continue }
            }
            guard isVisible(version, snapshot, transaction.xid) else { continue }
            seen.append(place)
            if flaws.contains(.limitOnTheClaim), seen.count == 1 { break }
        }
        return seen
    }

    private func claim(
        _ execution: ClaimExecution,
        _ snapshot: Snapshot,
        collapseThreshold: Int64
    ) -> Claim {
        let rows = execution.seen.map { journal[$0].row }
        let own = execution.transaction.xid
        // One that is not attached has no row of freshet.attached; see Claim's own filter.
        let caches = Caches.all.compactMap { rules -> CacheClaim? in
            let concerned = rows.filter { $0.cache == nil || $0.cache == rules.name }
            var part = CacheClaim(emptyOf: rules.name)
            part.rowCount = Int64(concerned.count)
            let fence = fences.first { $0.row.cache == rules.name && isVisible($0, snapshot, 0) }?.row
            part.mark = fence.map { $0.mark ?? "" }
            part.acknowledgedTriggers = fence?.triggers
            guard rules.name == "workflows" else {
                guard !concerned.isEmpty else { return nil }
                part.resolve(
                    concerned.map { JournalRow($0) },
                    facts: nil,
                    factsProblem: execution.request.factsProblems[rules.name],
                    by: rules
                )
                return part
            }
            part.attachedTables = ["detector", "workflow", "link"].map { subject in
                AttachedTable(
                    subject: subject,
                    fingerprint: "\(triggerVersion)",
                    problem: triggersEnabled || flaws.contains(.triggersUnwatched)
                        ? nil : "triggers not enabled ALWAYS on \(subject)"
                )
            }
            let isCollapsed =
                concerned.count > collapseThreshold
                || concerned.reduce(0) { $0 + $1.rowCount } > 10 * collapseThreshold
            let problem = execution.request.factsProblems[rules.name]
            let facts = problem == nil ? facts(concerned, snapshot, own) : nil
            let fan = facts?.count { $0.kind == "link" } ?? 0
            part.resolve(
                isCollapsed || fan > collapseThreshold ? nil : concerned.map { JournalRow($0) },
                facts: facts,
                factsProblem: problem,
                by: rules
            )
            return part
        }
        return Claim(
            snapshot: snapshot.text,
            rowCount: Int64(rows.count),
            // Whoever counts on what was deleted does not see what somebody else deletes.
            deletedCount: Int64(execution.deletedCount),
            caches: caches
        )
    }

    /// The look-ups of WorkflowRules.
    private func facts(_ rows: [JournalEntry], _ claimed: Snapshot, _ own: UInt64) -> [FactRow] {
        if flaws.contains(.resolvedInTheTrigger) {
            return rows.flatMap { row in
                row.linkedThen.map { FactRow(kind: "link", number1: $0.detector, number2: $0.workflow) }
                    + row.environmentsThen.map { FactRow(kind: "environment", number1: $0.key, number2: $0.value) }
            }
        }
        let snapshot = flaws.contains(.factsAfterTheClaim) ? currentSnapshot() : claimed
        var facts: [FactRow] = []
        for link in links where isVisible(link, snapshot, own) {
            guard
                rows.contains(where: { $0.subject == "workflow" && $0.workflows?.contains(link.row.workflow) == true })
            else { continue }
            facts.append(FactRow(kind: "link", number1: link.row.detector, number2: link.row.workflow))
        }
        for workflow in workflows where isVisible(workflow, snapshot, own) {
            guard rows.contains(where: { $0.subject == "link" && $0.workflows?.contains(workflow.row.id) == true })
            else { continue }
            facts.append(FactRow(kind: "environment", number1: workflow.row.id, number2: workflow.row.environment))
        }
        return facts
    }

    /// The look-ups of the hint lane, in a snapshot of their own.
    func facts(ofHinted rows: [JournalRow]) -> [FactRow] {
        let snapshot = currentSnapshot()
        func name(_ workflow: Int64, _ subject: String) -> Bool {
            rows.contains { $0.subject == subject && $0.integers["workflow_ids"]?.contains(workflow) == true }
        }
        return links.filter { name($0.row.workflow, "workflow") && isVisible($0, snapshot, 0) }
            .map { FactRow(kind: "link", number1: $0.row.detector, number2: $0.row.workflow) }
            + workflows.filter { name($0.row.id, "link") && isVisible($0, snapshot, 0) }
            .map { FactRow(kind: "environment", number1: $0.row.id, number2: $0.row.environment) }
    }

    private func setFence(_ cache: String, _ transaction: Transaction, _ change: (inout FenceRow) -> Void) -> Progress {
        let snapshot = currentSnapshot()
        assignXid(transaction)
        guard
            let start = fences.firstIndex(where: {
                $0.row.cache == cache && isVisible($0, snapshot, transaction.xid)
            })
        else { return .done }
        switch lock(&fences, start, transaction) {
        case .busy(let other): return .waits(for: other)
        case .gone, .conflict: return .done
        case .mine(let place):
            var row = fences[place].row
            change(&row)
            fences[place].xmax = transaction.xid
            fences[place].next = fences.count
            fences.append(Version(row: row, xmin: transaction.xid))
            return .done
        }
    }

    /// UPDATE freshet.fence, for each acknowledgement from a place on.
    func acknowledge(
        _ acknowledgements: [PassPlan.Acknowledgement],
        from place: inout Int,
        _ transaction: Transaction
    ) -> Progress {
        while place < acknowledgements.count {
            let acknowledgement = acknowledgements[place]
            let progress = setFence(acknowledgement.cache, transaction) {
                $0.mark = acknowledgement.mark
                $0.triggers = acknowledgement.triggers
            }
            if progress != .done { return progress }
            place += 1
        }
        return .done
    }

    /// The mark that everybody sees.
    var mark: String? {
        let snapshot = currentSnapshot()
        return fences.first { $0.row.cache == "workflows" && isVisible($0, snapshot, 0) }?.row.mark
    }
}

extension JournalRow {
    init(_ entry: PostgresModel.JournalEntry) {
        var integers: ColumnValues<[Int64?]> = [:]
        integers["detector_ids"] = entry.detectors
        integers["workflow_ids"] = entry.workflows
        integers["old_environment_ids"] = entry.old
        integers["new_environment_ids"] = entry.new
        self.init(
            of: entry.subject,
            operation: entry.operation,
            rowCount: entry.rowCount,
            hint: entry.hint,
            integers: integers
        )
    }
}
