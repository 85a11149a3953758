// A Postgres server, as far as Freshet depends on one: rows with versions, snapshots, READ COMMITTED and REPEATABLE READ, row
// locks and those who wait for them, deadlocks, unique keys, commits that are recorded before they are visible, the triggers of
// sql/ with what they journal, the advisory lock, LISTEN, the incarnation token.
//
// It is held to a real server by PostgresModelTests: the same transactions, claims and look-ups, step by step, the same waits, ends, rows
// and notifications. Not so what those do not play: the advisory lock, sessions that end, crashes, promotions, and tokens.
//
// A server never loses anything. What a crash or a promotion loses is a new server, made from a beginning of the old one's log;
// see `init(after:losing:timeline:)`.

import Keyspace

/// One Postgres server, from a start or a promotion to the next one.
///
/// Not thread-safe: it belongs to the one thread that runs the simulation.
package final class PostgresModel {
    /// What became of a transaction.
    enum Status: Equatable { case active, recorded, visible, aborted }

    /// A version of a row.
    struct Version<Row> {
        var row: Row
        var xmin: UInt64
        /// Who deleted or replaced it; 0 nobody.
        var xmax: UInt64 = 0
        /// Where the version is that replaced it; -1 where there is none.
        var next = -1
    }

    package struct WorkflowRow: Hashable {
        package var id: Int64
        package var environment: Int64?
        package var isEnabled = true
        /// What else there is of it: another number with every change.
        package var content: Int64 = 0
    }

    package struct LinkRow: Hashable {
        package var detector: Int64
        package var workflow: Int64
    }

    struct FenceRow {
        var cache: String
        var mark: String?
        var triggers: String?
    }

    struct JournalEntry {
        var id: Int
        var xid: UInt64
        /// Nil concerns every cache.
        var cache: String?
        var subject: String
        var operation: String
        var detectors: [Int64?]?
        var workflows: [Int64?]?
        var old: [Int64?]?
        var new: [Int64?]?
        /// How many rows of the statement.
        var rowCount: Int64 = 0
        /// What its notification calls it, where that tells of it.
        var hint: String?
        /// The facts as they were when the trigger ran: of use to a flaw only.
        var linkedThen: [LinkRow] = []
        var environmentsThen: [Int64: Int64?] = [:]
    }

    package enum Isolation: CaseIterable, Sendable { case readCommitted, repeatableRead }

    /// Which transactions are visible.
    package struct Snapshot {
        var xmax: UInt64
        var inProgress: [UInt64]
        /// How many transactions had become visible: their number stands for all that can be seen.
        package var moment: Int

        package var text: String {
            let list = inProgress.map { String($0) }.joined(separator: ",")
            return "\(inProgress.first ?? xmax):\(xmax):\(list)"
        }
    }

    package final class Transaction {
        package let isolation: Isolation
        /// 0 as long as it has written nothing.
        package fileprivate(set) var xid: UInt64 = 0
        fileprivate var snapshot: Snapshot?
        /// Whom it waits for.
        fileprivate var waitsFor: UInt64 = 0
        package internal(set) var hasFailed = false
        var changesTruth = false
        /// What its commit notifies: hints, and '' for what else it journals.
        var notifications: [String] = []
        var journals: Bool { !notifications.isEmpty }
        /// The position of its commit in the log; 0 before.
        package fileprivate(set) var position = 0

        init(_ isolation: Isolation) {
            self.isolation = isolation
        }
    }

    /// How far a statement got.
    enum Progress: Equatable {
        case done
        case waits(for: UInt64)
        /// The transaction has failed, with this SQLSTATE.
        case failed(String)
    }

    // MARK: State

    let number: Int
    package let system = "7"
    package let timeline: Int
    /// Whether it is the one before, shut down and started again: nothing was lost.
    let isCleanRestart: Bool
    package var token: String?
    package let flaws: Flaws
    private let firstXid: UInt64
    private var statuses: [Status] = []
    private var running: [Transaction] = []
    /// The positions of commits, in order of the log.
    private(set) var log: [UInt64] = []
    var workflows: [Version<WorkflowRow>] = []
    var links: [Version<LinkRow>] = []
    var journal: [Version<JournalEntry>] = []
    var fences: [Version<FenceRow>] = []
    private var lastJournalID = 0
    private var lastHint = 0
    private var lastContent: Int64
    private(set) var moment = 0
    private var waiting: [UInt64: [() -> Void]] = [:]
    /// Statements that change more rows journal one change of the namespace.
    package var escalationRows = 10_000
    /// Whether a notification tells what was changed.
    var hints = true
    /// Whether the triggers are on, and how often they were changed.
    var triggersEnabled = true
    var triggerVersion = 1
    /// Whose session holds the advisory lock.
    weak var leader: PostgresSession?
    /// Is told when a transaction has become visible.
    var published: (Transaction) -> Void = { _ in }

    /// An empty server.
    package init(flaws: Flaws = []) {
        number = 0
        timeline = 1
        isCleanRestart = false
        self.flaws = flaws
        firstXid = 100
        lastContent = 0
        fences = [
            Version(row: FenceRow(cache: "workflows", mark: "", triggers: ""), xmin: 1),
            Version(row: FenceRow(cache: "datasources", mark: "", triggers: ""), xmin: 1),
        ]
    }

    /// The server after a crash or a promotion that lost what was recorded last.
    init(after old: PostgresModel, number: Int, losing lost: Int, timeline: Int, keepsToken: Bool) {
        self.number = number
        self.timeline = timeline
        flaws = old.flaws
        token = keepsToken ? old.token : nil
        isCleanRestart = keepsToken && lost == 0
        escalationRows = old.escalationRows
        hints = old.hints
        // Above all of any server before: two that go on from one log say different things, which must not look the same.
        lastContent = Int64(number) << 24
        lastJournalID = old.lastJournalID
        triggersEnabled = old.triggersEnabled
        triggerVersion = old.triggerVersion
        let kept = old.log.dropLast(lost)
        // After a crash, ids that nothing in the log tells of are given again; a clean shutdown writes down where they were.
        let next =
            keepsToken ? old.firstXid + UInt64(old.statuses.count) : max(old.firstXid, (kept.max() ?? 0) + 1)
        firstXid = next
        let survivors = Set(kept)
        func survive<Row>(_ versions: [Version<Row>]) -> [Version<Row>] {
            versions.compactMap { version in
                func hasCommitted(_ xid: UInt64) -> Bool { xid < old.firstXid || survivors.contains(xid) }
                guard hasCommitted(version.xmin), version.xmax == 0 || !hasCommitted(version.xmax) else { return nil }
                return Version(row: version.row, xmin: version.xmin)
            }
        }
        workflows = survive(old.workflows)
        links = survive(old.links)
        journal = survive(old.journal)
        fences = survive(old.fences)
        moment = old.moment + 1
    }

    package var identityText: String { "\(system)/\(timeline)/\(token ?? "-")" }

    // MARK: Transactions

    package func begin(_ isolation: Isolation) -> Transaction { Transaction(isolation) }

    func status(_ xid: UInt64) -> Status {
        xid < firstXid ? .visible : statuses[Int(xid - firstXid)]
    }

    func assignXid(_ transaction: Transaction) {
        guard transaction.xid == 0 else { return }
        transaction.xid = firstXid + UInt64(statuses.count)
        statuses.append(.active)
        running.append(transaction)
    }

    /// What is visible now.
    func currentSnapshot() -> Snapshot {
        Snapshot(
            xmax: firstXid + UInt64(statuses.count),
            inProgress: running.map(\.xid).sorted(),
            moment: moment
        )
    }

    /// What a statement of a transaction sees that begins now.
    func snapshot(of transaction: Transaction) -> Snapshot {
        if transaction.isolation == .readCommitted { return currentSnapshot() }
        let snapshot = transaction.snapshot ?? currentSnapshot()
        transaction.snapshot = snapshot
        return snapshot
    }

    @inline(__always)
    func sees(_ xid: UInt64, _ snapshot: Snapshot) -> Bool {
        xid < firstXid || (xid < snapshot.xmax && status(xid) == .visible && !snapshot.inProgress.contains(xid))
    }

    @inline(__always)
    func isVisible<Row>(_ version: Version<Row>, _ snapshot: Snapshot, _ own: UInt64) -> Bool {
        guard (own != 0 && version.xmin == own) || sees(version.xmin, snapshot) else { return false }
        if version.xmax == 0 { return true }
        if own != 0 && version.xmax == own { return false }
        return !sees(version.xmax, snapshot)
    }

    /// Writes the commit into the log; from here on it survives what the log survives.
    func record(_ transaction: Transaction) {
        guard transaction.xid != 0 else { return }
        statuses[Int(transaction.xid - firstXid)] = .recorded
        log.append(transaction.xid)
        transaction.position = log.count
    }

    /// Makes a recorded commit visible.
    func publish(_ transaction: Transaction) {
        guard transaction.xid != 0 else { return }
        statuses[Int(transaction.xid - firstXid)] = .visible
        moment += 1
        running.removeAll { $0 === transaction }
        published(transaction)
        end(transaction)
    }

    func abort(_ transaction: Transaction) {
        transaction.hasFailed = true
        guard transaction.xid != 0, status(transaction.xid) == .active else { return }
        statuses[Int(transaction.xid - firstXid)] = .aborted
        end(transaction)
    }

    /// Commits at once.
    package func commit(_ transaction: Transaction) {
        record(transaction)
        publish(transaction)
    }

    package func rollBack(_ transaction: Transaction) { abort(transaction) }

    private func end(_ transaction: Transaction) {
        running.removeAll { $0 === transaction }
        for retry in waiting.removeValue(forKey: transaction.xid) ?? [] { retry() }
    }

    /// Tries something again and again, each time somebody ends whom it has to wait for.
    ///
    /// - Parameters:
    ///   - isWanted: Whether it is still of interest.
    ///   - then: Is told when it is done, or has failed.
    func perform(
        _ transaction: Transaction,
        _ attempt: @escaping () -> Progress,
        isWanted: @escaping () -> Bool,
        then: @escaping (Progress) -> Void
    ) {
        transaction.waitsFor = 0
        guard isWanted() else { return }
        let progress = attempt()
        guard case .waits(let other) = progress else {
            // With the statement fails the transaction, at once: nobody waits for it any longer, whoever ends it formally.
            if case .failed = progress { abort(transaction) }
            return then(progress)
        }
        if wouldDeadlock(transaction, waitingFor: other) {
            abort(transaction)
            return then(.failed("40P01"))
        }
        transaction.waitsFor = other
        waiting[other, default: []].append { [self] in
            perform(transaction, attempt, isWanted: isWanted, then: then)
        }
    }

    /// Does something once nobody writes, as what takes the lock of a table waits for that.
    func whenIdle(_ action: @escaping () -> Void) {
        guard let other = running.first?.xid else { return action() }
        waiting[other, default: []].append { [self] in whenIdle(action) }
    }

    private func wouldDeadlock(_ transaction: Transaction, waitingFor other: UInt64) -> Bool {
        guard transaction.xid != 0 else { return false }
        var next = other
        while let blocker = running.first(where: { $0.xid == next }), blocker.waitsFor != 0 {
            if blocker.waitsFor == transaction.xid { return true }
            next = blocker.waitsFor
        }
        return false
    }

    // MARK: Rows

    /// What a transaction finds that wants to write a row.
    enum Lock { case mine(Int), gone, busy(UInt64), conflict }

    /// Locks the newest version of a row for a transaction.
    func lock<Row>(_ versions: inout [Version<Row>], _ start: Int, _ transaction: Transaction) -> Lock {
        var place = start
        while true {
            let xmax = versions[place].xmax
            if xmax == 0 { return .mine(place) }
            if xmax == transaction.xid { return .gone }
            switch status(xmax) {
            case .aborted:
                versions[place].xmax = 0
                versions[place].next = -1
                return .mine(place)
            case .active, .recorded: return .busy(xmax)
            case .visible:
                if transaction.isolation == .repeatableRead { return .conflict }
                guard versions[place].next >= 0 else { return .gone }
                place = versions[place].next
            }
        }
    }

    /// Whether somebody has a row with a unique key.
    enum Uniqueness { case free, taken(visible: Bool), busy(UInt64) }

    func uniqueness<Row>(
        _ versions: [Version<Row>],
        _ transaction: Transaction,
        _ snapshot: Snapshot,
        except: Int = -1,
        where isSame: (Row) -> Bool
    ) -> Uniqueness {
        for (place, version) in versions.enumerated() where place != except && isSame(version.row) {
            if version.xmin != transaction.xid {
                switch status(version.xmin) {
                case .aborted: continue
                case .active, .recorded: return .busy(version.xmin)
                case .visible: break
                }
            }
            if version.xmax != 0 {
                if version.xmax == transaction.xid { continue }
                switch status(version.xmax) {
                case .aborted: break
                case .active, .recorded: return .busy(version.xmax)
                case .visible: continue
                }
            }
            return .taken(visible: isVisible(version, snapshot, transaction.xid))
        }
        return .free
    }

    func nextContent() -> Int64 {
        lastContent += 1
        return lastContent
    }

    func write(_ entry: JournalEntry, _ transaction: Transaction) {
        assignXid(transaction)
        lastJournalID += 1
        var entry = entry
        entry.id = lastJournalID
        entry.xid = transaction.xid
        // No more than so many hints a transaction, as the triggers have it.
        if hints, transaction.notifications.count(where: { !$0.isEmpty }) < 32, let facts = entry.facts {
            // Not random here, but no other is like it, also where two servers go on from one log.
            lastHint += 1
            let hint = "\(number)-\(lastHint)"
            entry.hint = hint
            transaction.notifications.append("\(hint) \(facts)")
        } else if !transaction.notifications.contains("") {
            transaction.notifications.append("")
        }
        journal.append(Version(row: entry, xmin: transaction.xid))
    }

    // MARK: What a query answers

    /// The enabled workflows of a detector in an environment.
    package func answer(
        _ detector: Int64,
        _ environment: Int64?,
        _ snapshot: Snapshot,
        own: UInt64 = 0
    ) -> [WorkflowRow] {
        var found: [WorkflowRow] = []
        for link in links where link.row.detector == detector && isVisible(link, snapshot, own) {
            for workflow in workflows
            where workflow.row.id == link.row.workflow && workflow.row.environment == environment
                && workflow.row.isEnabled
                && isVisible(workflow, snapshot, own)
            {
                found.append(workflow.row)
            }
        }
        if found.count > 1 { found.sort { $0.id < $1.id } }
        return found
    }

    /// How many changes of the journal everybody sees.
    var journalDepth: Int {
        let snapshot = currentSnapshot()
        return journal.count { isVisible($0, snapshot, 0) }
    }

    /// Whether a transaction is going on that has written.
    var isBusy: Bool { !running.isEmpty }
}

extension PostgresModel.JournalEntry {
    /// What a notification tells of the row; nil where there is none, or too much.
    fileprivate var facts: String? {
        guard let cache, ["insert", "update", "delete"].contains(operation), rowCount <= 32 else { return nil }
        func column(_ name: String, _ ids: [Int64?]?) -> String {
            guard let ids else { return "" }
            return " \(name)={\(ids.map { $0.map { String($0) } ?? "NULL" }.joined(separator: ","))}"
        }
        return "\(cache) \(subject) \(operation)" + column("detector_ids", detectors)
            + column("workflow_ids", workflows)
            + column("old_environment_ids", old) + column("new_environment_ids", new)
    }
}
