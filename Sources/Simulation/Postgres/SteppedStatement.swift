/// A statement of the model that is led by hand, for those who hold the model to a real server.
package final class SteppedStatement {
    private var progress: PostgresModel.Progress?

    /// Begins a statement, and goes as far as it gets; it goes on when whoever it waits for ends.
    package init(
        _ statement: ApplicationStatement,
        _ transaction: PostgresModel.Transaction,
        on model: PostgresModel
    ) {
        let execution = PostgresModel.Execution(statement, transaction)
        model.perform(transaction) {
            model.advance(execution)
        } isWanted: {
            true
        } then: { [weak self] progress in
            self?.progress = progress
        }
    }

    /// Whether it waits for another transaction.
    package var isWaiting: Bool { progress == nil }

    /// Whether the model has given it up because everybody waits for everybody.
    package var isDeadlock: Bool { progress == .failed("40P01") }

    /// How it ended, in a word.
    package var outcome: String { progress.map { "\($0)" } ?? "waits" }
}

extension PostgresModel {
    /// Begins a transaction; one that reads in one snapshot takes it now.
    package func begin(_ isolation: Isolation, snapshotNow: Bool) -> Transaction {
        let transaction = begin(isolation)
        if snapshotNow { _ = snapshot(of: transaction) }
        return transaction
    }

    /// Every row of the application's tables and of the journal, as text: what everybody sees now, or what a transaction sees.
    package func rowTexts(seenBy transaction: Transaction? = nil) -> [String] {
        let snapshot = transaction.map { self.snapshot(of: $0) } ?? currentSnapshot()
        let own = transaction?.xid ?? 0
        func text(_ number: Int64?) -> String { number.map { String($0) } ?? "NULL" }
        let rows = workflows.filter { isVisible($0, snapshot, own) }.map {
            "workflow \($0.row.id) \($0.row.environment.map { String($0) } ?? "-") \($0.row.isEnabled)"
        }
        let pairs = links.filter { isVisible($0, snapshot, own) }.map { "link \($0.row.detector) \($0.row.workflow)" }
        let changes = journal.filter { isVisible($0, snapshot, own) }.map { version in
            let row = version.row
            let count = max(row.detectors?.count ?? 0, row.workflows?.count ?? 0)
            let parts = (0..<count).map { place in
                [row.detectors?[place], row.workflows?[place], row.old?[place], row.new?[place]].map { $0 ?? nil }
            }
            // NULLs last, as the server sorts.
            let sorted = parts.sorted { left, right in
                for (one, other) in zip(left, right) where one != other { return one ?? .max < other ?? .max }
                return false
            }
            let list = sorted.map { $0.map(text).joined(separator: "/") }.joined(separator: ",")
            return "journal \(row.subject) \(row.operation)\(list.isEmpty ? "" : " \(list)")"
        }
        return rows + pairs + changes
    }
}
