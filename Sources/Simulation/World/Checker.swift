import Freshet
import InvalidationWorker
import Keyspace
import Redis

/// What must hold in every schedule.
///
/// The simulation knows the truth: what every server would have answered at every moment. So what is checked is not what the code
/// says of itself, but what it did.
package enum Invariant: String, CaseIterable, Sendable {
    /// Once a pass has been applied in a dataset, no entry that is valid there is from before what the pass had seen.
    ///
    /// It is checked where the pass is applied and where an entry is stored; what a dataset has seen is kept with it, and restored,
    /// copied and lost with it.
    case bumped
    /// What an entry says was true at some moment after it says that it was read.
    case dated
    /// What is vouched for lies before the snapshot that was applied, and no valid entry was true before then only.
    case promise
    /// Only what the session claimed that led is promised for; and where a promoted server has promised, no server promises that it
    /// was promoted over.
    case onePromise = "one promise"
    /// Where Redis and Postgres agree on a mark, everything that was taken from the journal has been applied.
    case consumed
    /// An answer that was given while somebody vouched was true at some moment within the lease before it was asked for.
    case healthy
    /// The same within the degraded limit.
    case degraded
    /// The same within the call, where nothing was shared: what was loaded for this lookup alone, or with a token, or past Redis.
    case loaded
    /// A read with a token was true at some moment after that commit.
    case ownWrite = "own write"
    /// When the faults are over, the journal is emptied and somebody vouches again.
    case drained
    /// Then every valid entry, and every answer, is what the database says; a lease later, that of memory, too.
    case converged
    /// Where nothing fails, an answer is as fresh as Redis was when it was asked for; from memory, as Redis was 5 ms before.
    case told
    /// Where nothing fails, a commit is applied long before the next poll.
    case prompt
    /// Every lookup ends, and with an answer, unless its loader failed, its time was over or its process ended.
    case answered
    /// What is kept stays within its limits: the fields of an entity, the keys of Redis, the values in memory.
    case bounded
}

/// What the simulation knows of a dataset of Redis; it goes where the dataset goes.
struct DatasetKnowledge {
    /// The server whose changes were applied last, and up to which moment.
    var server = -1
    var moment = -1
    /// The same of the changes that the journal told of, also where nothing was promised of the rest.
    var consumedServer = -1
    var consumedMoment = -1
    /// The newest timeline that was promised for.
    var promisedTimeline = 0
    /// When the snapshot was taken that was promised for last.
    var promisedAt: Int64 = -1
}

/// What was broken, and how.
package struct Violation: Sendable {
    package var invariant: Invariant
    package var text: String
    package var time: Int64
    /// Whose answer it was about.
    package var detector: Int64?
}

/// Holds everything against the truth.
final class Checker {
    /// Since when a key has had an answer.
    private struct Truth {
        var moment: Int
        var time: Int64
        var signature: UInt64
    }

    /// One server, as the checker knows it.
    private struct Record {
        var server: PostgresServer
        /// By the place of the key.
        var truths: [[Truth]]
        /// Snapshots that were claimed: how much each shows, when it was taken, and whether by the session that led.
        var snapshots: [String: (moment: Int, time: Int64, isLeaders: Bool)] = [:]
        /// The claims that took rows, by the mark that they wrote: how much each saw.
        var marks: [String: Int] = [:]
        /// Everything before was taken from the journal for good.
        var consumed = -1
        /// What it has called itself.
        var identities: [String] = []
        /// When it ended.
        var end = Int64.max
    }

    /// A commit that a reader waits for.
    struct Commit: Sendable {
        var server: Int
        var moment: Int
        var position: Int
        var time: Int64
        var xid: UInt64
        var identity: String
        var snapshot: String
    }

    private unowned let world: World
    /// The one invariant that is looked at; nil for all.
    private let only: Invariant?
    private var records: [Record] = []
    private let keys: [DetectorWorkflowsKey]
    /// Where the entry of each key is: the key of its entity in Redis, and its variant.
    private let places: [(entity: String, variant: String)]
    /// By how much a clock was stepped back, or another host's is behind that took over.
    private struct StepBack {
        var amount: Int64
        /// Until when somebody could read the clock that is ahead.
        var end: Int64
        /// Of two hosts, the one whose clock is ahead, and the other.
        var hosts: (ahead: Int, behind: Int)?
    }

    private var stepsBack: [StepBack] = []
    /// Where nothing fails: what was applied when.
    private var appliedMoments: [(time: Int64, server: Int, moment: Int)] = []
    private(set) var violation: Violation?
    /// How many answers were checked.
    private(set) var answers = 0

    init(_ world: World, only: Invariant? = nil) {
        self.world = world
        self.only = only
        keys = world.plan.detectors.flatMap { detector in
            [DetectorWorkflowsKey(detectorID: detector, environment: .global)]
                + world.plan.environments.map {
                    DetectorWorkflowsKey(detectorID: detector, environment: .environment($0))
                }
        }
        places = keys.map { (world.namespace.key(of: Entity($0.detectorID)), $0.environment.variant.text) }
    }

    func violate(_ invariant: Invariant, of key: DetectorWorkflowsKey? = nil, _ text: @autoclosure () -> String) {
        guard violation == nil, only == nil || only == invariant else { return }
        violation = Violation(
            invariant: invariant,
            text: text(),
            time: world.scheduler.now,
            detector: key?.detectorID
        )
        world.trace { "VIOLATION of \(invariant.rawValue): \(text())" }
    }

    // MARK: The truth

    /// A server that begins.
    func add(_ server: PostgresServer) {
        let snapshot = server.model.currentSnapshot()
        records.append(
            Record(
                server: server,
                truths: keys.map { key in
                    [
                        Truth(
                            moment: snapshot.moment,
                            time: world.scheduler.now,
                            signature: signature(server, key, snapshot)
                        )
                    ]
                }
            )
        )
        know(server)
    }

    /// A server may have got a token.
    ///
    /// What it is called without one it has in common with others.
    func know(_ server: PostgresServer) {
        guard server.model.token != nil else { return }
        let text = server.model.identityText
        if !records[server.model.number].identities.contains(text) {
            records[server.model.number].identities.append(text)
        }
    }

    /// A server is gone, and answers nothing any more.
    func ended(_ server: PostgresServer) {
        records[server.model.number].end = world.scheduler.now
    }

    private func signature(
        _ server: PostgresServer,
        _ key: DetectorWorkflowsKey,
        _ snapshot: PostgresModel.Snapshot
    ) -> UInt64 {
        var signature = Signature()
        for row in server.model.answer(key.detectorID, key.environment.id, snapshot) {
            signature.add(id: row.id, content: row.content)
        }
        return signature.value
    }

    /// A transaction has become visible.
    func published(_ transaction: PostgresModel.Transaction, on server: PostgresServer) {
        guard transaction.changesTruth else { return }
        let number = server.model.number
        let snapshot = server.model.currentSnapshot()
        for (place, key) in keys.enumerated() {
            let signature = signature(server, key, snapshot)
            guard records[number].truths[place].last?.signature != signature else { continue }
            records[number].truths[place].append(
                Truth(moment: snapshot.moment, time: world.scheduler.now, signature: signature)
            )
        }
    }

    /// Whether an answer was true on a server at some moment from this one on.
    private func wasTrue(_ signature: UInt64, _ place: Int, on number: Int, fromMoment moment: Int) -> Bool {
        let truths = records[number].truths[place]
        for index in truths.indices.reversed() {
            if truths[index].signature == signature { return true }
            if truths[index].moment <= moment { return false }
        }
        return false
    }

    /// Whether an answer was true on any server at some time between two.
    private func wasTrue(_ signature: UInt64, _ place: Int, from start: Int64, to end: Int64) -> Bool {
        for record in records where record.end >= start {
            let truths = record.truths[place]
            for index in truths.indices.reversed() {
                if truths[index].signature == signature, truths[index].time <= end { return true }
                if truths[index].time <= start { break }
            }
        }
        return false
    }

    /// Whether a server is one from before, which the checker counts as another since it was cleanly restarted.
    private func isTheSame(_ before: Int, as number: Int) -> Bool {
        before >= 0 && before <= number
            && records[before...number].dropFirst().allSatisfy { $0.server.model.isCleanRestart }
    }

    private func place(_ key: DetectorWorkflowsKey) -> Int? { keys.firstIndex(of: key) }

    // MARK: The worker

    func claimed(
        _ session: PostgresSession,
        _ snapshot: PostgresModel.Snapshot,
        _ nextMark: String,
        _ claim: Claim
    ) {
        let number = session.model.number
        // Of equal snapshots the last: they show the same.
        records[number].snapshots[snapshot.text] = (
            snapshot.moment, world.scheduler.now, session.model.leader === session
        )
        records[number].marks[nextMark] = snapshot.moment
        session.claimedMoment = claim.rowCount > 0 ? snapshot.moment : nil
        world.trace {
            "\(session.process.name) claims \(claim.rowCount) rows in \(snapshot.text) on postgres \(number): "
                + "\(claim.caches.map { "\($0.cache) \($0.scopes)" })"
        }
    }

    /// A claim was committed: its rows are gone for good.
    func consumed(_ session: PostgresSession, moment: Int) {
        let number = session.model.number
        records[number].consumed = max(records[number].consumed, moment)
        checkConsumed(number)
        world.happened(.consumed)
    }

    private func checkConsumed(_ number: Int) {
        let redis: RedisServer = world.primaryRedis
        let record = records[number]
        guard record.server.isUp, record.consumed >= 0, let mark = record.server.model.mark, !mark.isEmpty else {
            return
        }
        let head = world.headKey
        guard let found = redis.model.dataset.field(head, "mark"), found.elementsEqual(mark.utf8),
            let postgres = redis.model.dataset.field(head, "pg"),
            postgres.elementsEqual(record.server.model.identityText.utf8)
        else { return }
        let knowledge = redis.model.dataset.knowledge
        if knowledge.consumedServer != number || knowledge.consumedMoment < record.consumed {
            violate(
                .consumed,
                "the mark \(mark) is agreed on, and what was consumed up to moment \(record.consumed) was not applied"
                    + " (\(knowledge))"
            )
        }
    }

    // MARK: Redis

    /// A script ran.
    func ran(
        _ name: String,
        _ keys: [String],
        _ arguments: [RedisArgument],
        _ reply: RedisReply,
        on server: RedisServer
    ) {
        checkKeys(in: server)
        switch name {
        case "apply":
            applied(keys, arguments, reply, on: server)
            world.happened(.applied)
        case "hint":
            world.happened(.hinted)
        case "fill":
            if reply.string == FillOutcome.stored.rawValue { filled(keys, arguments, on: server) }
            world.happened(.filled)
        default: break
        }
    }

    private func applied(_ keys: [String], _ arguments: [RedisArgument], _ reply: RedisReply, on server: RedisServer) {
        guard case .array(let fields) = reply, fields.first?.string == "applied",
            keys[0] == world.headKey
        else { return }
        func text(_ place: Int) -> String { String(decoding: arguments[place].modelBytes, as: UTF8.self) }
        let mark = text(2)
        if let number = records.lastIndex(where: { $0.marks[mark] != nil }), let moment = records[number].marks[mark] {
            server.model.dataset.knowledge.consumedServer = number
            server.model.dataset.knowledge.consumedMoment = moment
        }
        let snapshotText = text(6)
        let identity = text(3)
        if !text(4).isEmpty { checkPromise(self.keys.indices, in: server) }
        for detector in world.plan.detectors { checkBound(world.namespace.key(of: Entity(detector)), in: server) }
        guard !snapshotText.isEmpty else {
            // Nothing is promised of this server yet, and what was promised of another is over. A clean restart makes no other of it:
            // what it had not journaled before, with its triggers off, nobody has applied.
            let known = server.model.dataset.knowledge.server
            guard let number = records.lastIndex(where: { $0.identities.contains(identity) }) else { return }
            if !isTheSame(known, as: number) {
                server.model.dataset.knowledge.server = number
                server.model.dataset.knowledge.moment = 0
            }
            return
        }
        guard
            let number = records.lastIndex(where: {
                $0.identities.contains(identity) && $0.snapshots[snapshotText] != nil
            }), let snapshot = records[number].snapshots[snapshotText]
        else { return violate(.promise, "a snapshot was applied that nobody claimed: \(snapshotText)") }

        var knowledge = server.model.dataset.knowledge
        if let vouched = server.model.dataset.field(keys[0], "vouched").flatMap({
            Int64(String(decoding: $0, as: UTF8.self))
        }),
            !text(4).isEmpty
        {
            // Of the moments at which a clock that was set said so, the earliest.
            let time = world.earliestMoment(atRedisTime: vouched)
            if time > snapshot.time {
                violate(
                    .promise,
                    "vouched for \(time / 1_000) µs, which is after the snapshot at \(snapshot.time / 1_000) µs"
                )
            }
            if !snapshot.isLeaders {
                violate(.onePromise, "a session promises for \(snapshotText), which did not lead when it claimed that")
            }
            let timeline = records[number].server.model.timeline
            if timeline < knowledge.promisedTimeline {
                violate(.onePromise, "timeline \(timeline) promises where \(knowledge.promisedTimeline) had promised")
            }
            knowledge.promisedTimeline = max(knowledge.promisedTimeline, timeline)
            knowledge.promisedAt = snapshot.time
        }
        let isNews = knowledge.server != number || knowledge.moment < snapshot.moment
        if knowledge.server != number {
            knowledge.server = number
            knowledge.moment = snapshot.moment
        } else {
            knowledge.moment = max(knowledge.moment, snapshot.moment)
        }
        server.model.dataset.knowledge = knowledge
        if world.plan.isCalm, server === world.primaryRedis {
            appliedMoments.append((world.scheduler.now, number, knowledge.moment))
        }
        if isNews {
            for place in self.keys.indices { check(place, in: server) }
        }
    }

    /// Checks that the valid entries of some keys were true when the head is vouched for, or later: whatever else was applied, readers
    /// rely on that.
    private func checkPromise(_ places: some Sequence<Int>, in server: RedisServer) {
        guard let bytes = server.model.dataset.field(world.headKey, "vouched"),
            let vouched = Int64(String(decoding: bytes, as: UTF8.self))
        else { return }
        let time = world.earliestMoment(atRedisTime: vouched)
        for place in places {
            let key = keys[place]
            guard let signature = validEntry(place, in: server.model),
                !wasTrue(signature, place, from: time, to: world.scheduler.now)
            else { continue }
            violate(
                .promise,
                of: key,
                "somebody vouches for \(time / 1_000) µs, and the entry of \(key) is valid, which was true before only"
            )
        }
    }

    private func filled(_ keys: [String], _ arguments: [RedisArgument], on server: RedisServer) {
        guard keys[0] == world.headKey else { return }
        let variant = String(decoding: arguments[3].modelBytes, as: UTF8.self)
        for place in places.indices where places[place].variant == variant && places[place].entity == keys[1] {
            check(place, in: server)
            checkDate(place, in: server)
            checkPromise(CollectionOfOne(place), in: server)
        }
        checkBound(keys[1], in: server)
    }

    /// Checks that an entity has no more fields than it may: those of three times the variants, and one that came last.
    private func checkBound(_ entity: String, in server: RedisServer) {
        guard case .hash(let fields)? = server.model.dataset.entries[entity]?.content,
            fields.count > 3 * world.plan.variantsPerEntity + 1
        else { return }
        violate(.bounded, "\(entity) has \(fields.count) fields")
    }

    /// Checks that a dataset has no more keys than, for each cache, a head and the key that tells of its bumps, the entities, and a claim
    /// for each of what readers ask.
    private func checkKeys(in server: RedisServer) {
        let count = server.model.dataset.entries.count
        if count > 2 * Caches.all.count + world.plan.detectors.count + keys.count {
            violate(.bounded, "redis \(server.number) has \(count) keys: \(server.model.dataset.entries.keys.sorted())")
        }
    }

    /// Checks that a reader keeps no more values in memory than it may.
    func checkMemory(_ count: Int, of process: SimulatedProcess) {
        if count > world.plan.nearCount { violate(.bounded, "\(process.name) has \(count) values in memory") }
    }

    /// Checks that the entry of a key is no older than it says.
    private func checkDate(_ place: Int, in server: RedisServer) {
        let (entity, variant) = places[place]
        guard let bytes = server.model.dataset.field(entity, "e:" + variant),
            let entry = try? EntryCodec.decode(bytes), let workflows = try? WorkflowCodec.decode(entry.payload)
        else { return }
        let time = world.earliestMoment(atRedisTime: entry.stamp.readAt.microseconds)
        if !wasTrue(Signature(workflows).value, place, from: time, to: world.scheduler.now) {
            violate(
                .dated,
                of: keys[place],
                "the entry of \(keys[place]) says that it was read when it was true no longer"
            )
        }
    }

    /// Checks the entry of a key, where it is valid.
    private func check(_ place: Int, in server: RedisServer) {
        let knowledge = server.model.dataset.knowledge
        // A head that was lost promises nothing any more: what is stored then, the degraded limit bounds.
        guard knowledge.server >= 0,
            let postgres = server.model.dataset.field(world.headKey, "pg"),
            records[knowledge.server].identities.contains(String(decoding: postgres, as: UTF8.self)),
            let signature = validEntry(place, in: server.model)
        else { return }
        let isTrue =
            wasTrue(signature, place, on: knowledge.server, fromMoment: knowledge.moment)
            || records.indices.contains { later in
                later > knowledge.server && isTheSame(knowledge.server, as: later)
                    && wasTrue(signature, place, on: later, fromMoment: 0)
            }
        if !isTrue {
            violate(
                .bumped,
                of: keys[place],
                "the entry of \(keys[place]) is valid, and from before moment \(knowledge.moment) of postgres "
                    + "\(knowledge.server), which has been applied"
            )
        }
    }

    /// What the valid entry of a key says; nil where there is none.
    private func validEntry(_ place: Int, in model: RedisModel) -> UInt64? {
        let (entity, variant) = places[place]
        guard let bytes = model.visibleField(entity, "e:" + variant), let entry = try? EntryCodec.decode(bytes),
            let namespace = model.visibleField(world.headKey, "gen"),
            let own = model.visibleField(entity, "g"), Generation(utf8: namespace) == entry.stamp.namespace,
            Generation(utf8: own) == entry.stamp.entity,
            model.visibleField(entity, "g:" + variant).flatMap({ Generation(utf8: $0) }) == entry.stamp.variant,
            let workflows = try? WorkflowCodec.decode(entry.payload)
        else { return nil }
        return Signature(workflows).value
    }

    /// The clock of a Redis host was set back, in microseconds, or another host with a clock behind took over.
    func clockWasSteppedBack(by microseconds: Int64) {
        stepsBack.append(StepBack(amount: microseconds * 1_000, end: world.scheduler.now))
    }

    /// The same where another host with a clock behind took over: the one before may be read for some time yet.
    func clockWasSteppedBack(by microseconds: Int64, from ahead: Int, to behind: Int) {
        stepsBack.append(StepBack(amount: microseconds * 1_000, end: .max, hosts: (ahead, behind)))
    }

    /// A host can be read no longer.
    func clockIsGone(of host: Int) {
        for (place, step) in stepsBack.enumerated() where step.end == .max {
            if step.hosts?.ahead == host || step.hosts?.behind == host { stepsBack[place].end = world.scheduler.now }
        }
    }

    /// How old something may be at a moment that counts as no older than a limit by the clocks of Redis.
    ///
    /// A time that was read before a step back counts for longer, by the step; one that was read after it does not. So a step is
    /// an excuse for as long as a promise or a stamp from before it can count, and no longer.
    private func age(_ limit: Int64, at moment: Int64) -> Int64 {
        var (age, sum) = (limit, Int64(0))
        for step in stepsBack.sorted(by: { $0.end > $1.end }) {
            sum += step.amount
            if step.end >= moment - limit - sum { age = limit + sum }
        }
        return age
    }

    // MARK: Readers

    /// A lookup was answered.
    ///
    /// - Parameter isAlone: Whether what was loaded for it was loaded for it alone.
    func answered(
        _ key: DetectorWorkflowsKey,
        _ answer: CacheAnswer<[Workflow]>,
        _ trust: Trust,
        asked start: Int64,
        after commit: Commit?,
        isAlone: Bool,
        by process: SimulatedProcess
    ) {
        answers += 1
        guard let place = place(key) else { return }
        let signature = Signature(answer.value).value
        let end = world.scheduler.now
        let lease: Int64 = 5_000_000_000
        let limit = Int64(world.plan.degradedSeconds) * 1_000_000_000
        world.trace {
            "\(process.name) is told of \(key), asked at \(start / 1_000) µs: \(answer.value.map { "\($0.id).\($0.organizationID)" }), "
                + "\(answer.source), \(trust)"
        }
        let (invariant, allowance): (Invariant, Int64) =
            switch answer.source {
            case .near: (.healthy, age(lease, at: start))
            case .hit: trust == .healthy ? (.healthy, age(lease, at: start)) : (.degraded, age(limit, at: start))
            case .miss(.unreachable), .miss(.disabled), .miss(.behind): (.loaded, 0)
            case .miss:
                commit != nil || isAlone
                    ? (.loaded, 0)
                    : trust == .healthy ? (.healthy, age(lease, at: start)) : (.degraded, age(limit, at: start))
            }
        // Who loads where nobody should load from, is told what that says.
        if case .miss = answer.source, world.isForeign(process) { return }
        if !wasTrue(signature, place, from: start - allowance, to: end) {
            violate(
                invariant,
                of: key,
                "\(process.name) was told of \(key) by \(answer.source) (\(trust)) what was not true between "
                    + "\((start - allowance) / 1_000) and \(end / 1_000) µs"
            )
        }
        let way: Int64 = answer.source == .near ? 5_000_000 : 0
        if world.plan.isCalm, let applied = appliedMoments.last(where: { $0.time < start - way }),
            !wasTrue(signature, place, on: applied.server, fromMoment: applied.moment)
        {
            violate(.told, of: key, "\(process.name) was told by \(answer.source) what was bumped before it asked")
        }
        guard let commit, !world.isLost(commit), !world.wasOnTheOldSide(process, since: start) else { return }
        let isLater = records.contains { record in
            let number = record.server.model.number
            if number < commit.server { return false }
            return wasTrue(signature, place, on: number, fromMoment: number == commit.server ? commit.moment : 0)
        }
        if !isLater {
            violate(.ownWrite, of: key, "\(process.name) was told of \(key) what was true before its commit only")
        }
    }

    // MARK: The end

    /// Everything is quiet: Redis and the answers must be what the database says.
    func checkConverged() {
        let number = world.primaryPostgres.model.number
        let redis: RedisServer = world.primaryRedis
        for place in keys.indices {
            guard let signature = validEntry(place, in: redis.model) else { continue }
            if signature != records[number].truths[place].last?.signature {
                violate(
                    .converged,
                    of: keys[place],
                    "the entry of \(keys[place]) is valid, and not what the database says"
                )
            }
        }
        checkConsumed(number)
    }

    /// Whether an answer is what the database says now.
    func isTrueNow(_ key: DetectorWorkflowsKey, _ value: [Workflow]) -> Bool {
        guard let place = place(key) else { return true }
        return records[world.primaryPostgres.model.number].truths[place].last?.signature == Signature(value).value
    }

    /// Whether all that was committed up to a moment has been applied.
    func hasApplied(_ moment: Int, of server: PostgresServer) -> Bool {
        let knowledge = world.primaryRedis.model.dataset.knowledge
        return knowledge.server == server.model.number && knowledge.moment >= moment
    }
}

/// What tells one answer from another.
struct Signature {
    private(set) var value: UInt64 = 1

    init() {}

    init(_ workflows: [Workflow]) {
        for workflow in workflows { add(id: workflow.id, content: workflow.organizationID) }
    }

    mutating func add(id: Int64, content: Int64) {
        value = (value &* 0x9E37_79B9_7F4A_7C15) ^ (UInt64(bitPattern: id) << 40) ^ UInt64(bitPattern: content)
    }
}
