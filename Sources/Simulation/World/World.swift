// One schedule: servers, processes, what they do, what strikes them, and the end, when everything has to be right again.

import Freshet
import InvalidationWorker
import Keyspace
import Logging
import Postgres
import Redis
import Surroundings

/// One simulated installation.
///
/// `@unchecked Sendable` because it is used on the one thread that runs the simulation.
final class World: @unchecked Sendable {
    /// The beginning, by the clock of a Redis host that is right, in microseconds since 1970.
    static let epoch: Int64 = 1_700_000_000_000_000
    /// The time limit of a command of Redis.
    static let commandTimeLimit: Int64 = 2_000_000_000
    private static let logger = Logger(label: "simulation") { _ in SwiftLogNoOpLogHandler() }

    let plan: SchedulePlan
    let scheduler: Scheduler
    let namespace = CacheNamespace.workflows
    /// The key of the only bucket's head.
    let headKey = CacheNamespace.workflows.headKey(bucket: 0)
    let tracing: Trace?
    private(set) var checker: Checker!
    private(set) var processes: [SimulatedProcess] = []

    // Redis
    private(set) var redisServers: [RedisServer] = []
    private(set) var primaryRedis: RedisServer!
    private(set) var redisConnections: [SimulatedRedis] = []
    var trackings: [SimulatedTracking] = []

    // Postgres
    private(set) var postgresServers: [PostgresServer] = []
    private(set) var primaryPostgres: PostgresServer!
    /// How much of its log each server has handed on.
    private var kept: [Int: Int] = [:]

    /// The hints that were sent, for whoever makes use of them.
    private var hintsHeard: [String] = []

    // Actors
    private var readers: [ReaderActor] = []
    private var workers: [WorkerActor] = []
    private var busyActors = 0
    private var foreign: SimulatedProcess?
    /// Messages take no longer than they have to.
    private var isHealed = false
    private var healedAt: Int64 = 0
    private var isIsolated: Set<String> = []
    /// Until when a process was.
    private var isolationEnds: [String: Int64] = [:]
    /// How often each thing has happened that a fault may wait for.
    private var happenings = Array(repeating: 0, count: SchedulePlan.Ambush.allCases.count)

    init(plan: SchedulePlan, tracing: Bool = false, only: Invariant? = nil) {
        self.plan = plan
        scheduler = Scheduler(seed: plan.seed)
        self.tracing = tracing ? Trace() : nil
        checker = Checker(self, only: only)
        let redis = addRedis(clockOffset: 0)
        primaryRedis = redis
        let model = PostgresModel(flaws: plan.flaws)
        model.escalationRows = plan.escalationRows
        model.hints = plan.hearsHints
        primaryPostgres = add(model)
    }

    func trace(_ text: () -> String) {
        guard let tracing else { return }
        tracing.add(scheduler.now, text())
    }

    // MARK: Running

    /// Plays the schedule to its end.
    func run() {
        populate()
        for number in 0..<plan.workerCount { addWorker("worker \(number + 1)") }
        for number in 1...plan.readerCount { addReader("reader \(number)", number: number) }
        for number in 1...plan.writerCount { addWriter("writer \(number)", transactions: plan.transactionsPerWriter) }
        for (time, fault) in plan.faults {
            scheduler.at(time) { [self] in
                if !isHealed { strike(fault) }
            }
        }
        scheduler.run(until: plan.duration) { checker.violation != nil }
        if let name = scheduler.spinning {
            checker.violate(.answered, "\(name) runs for ever while no time passes")
        } else if checker.violation == nil {
            settle()
        }
        for process in processes { process.kill() }
        scheduler.finish()
    }

    /// The faults are over: whatever is wrong must come right.
    private func settle() {
        heal()
        let limit = scheduler.now + 60_000_000_000
        scheduler.run(until: limit) { checker.violation != nil || isQuiet }
        if checker.violation != nil { return }
        guard isQuiet else {
            let head = headKey
            let mark = primaryRedis.model.dataset.field(head, "mark").map { String(decoding: $0, as: UTF8.self) }
            return checker.violate(
                busyActors > 0 ? .answered : .drained,
                "a minute after the last fault \(busyActors) actors are busy, the journal holds "
                    + "\(primaryPostgres.model.journalDepth) changes, Postgres has the mark "
                    + "\(primaryPostgres.model.mark ?? "none"), Redis \(mark ?? "none"), and somebody vouches: \(isVouchedFor)"
            )
        }
        checker.checkConverged()
        readAll(alsoFromMemory: false)
        // What memory was not told of, it answers no longer than a lease. And what somebody had sent before the faults were over, and
        // given up, may arrive only now.
        if plan.hasNearCache || plan.seed.isMultiple(of: 4) {
            scheduler.run(until: scheduler.now + 7_000_000_000) { checker.violation != nil }
            readAll(alsoFromMemory: true)
        }
        checker.checkConverged()
    }

    /// Every reader reads everything.
    private func readAll(alsoFromMemory: Bool) {
        for reader in readers where !reader.process.isDead { reader.readAll(alsoFromMemory: alsoFromMemory) }
        // What was sent before the faults were over may hold up a connection for 7 s yet; each read of Redis gives up after 2.
        scheduler.run(until: scheduler.now + 20_000_000_000) { busyActors == 0 || checker.violation != nil }
        if busyActors > 0 { checker.violate(.answered, "a read of everything does not end") }
    }

    /// Nobody is at work, everything is applied, and somebody vouches.
    private var isQuiet: Bool {
        let model = primaryPostgres.model
        guard busyActors == 0, !model.isBusy, model.journalDepth == 0, isVouchedFor,
            let mark = model.mark, checker.hasApplied(model.moment - 1, of: primaryPostgres) || model.moment <= 1
        else { return false }
        return primaryRedis.model.dataset.field(headKey, "mark")?.elementsEqual(mark.utf8) == true
    }

    private var isVouchedFor: Bool {
        let head = headKey
        let fields = Head.readerFields.map { field in
            primaryRedis.model.dataset.field(head, field).map { String(decoding: $0, as: UTF8.self) }
        }
        let found = Head(fields: fields)
        // By a claim that was made after the last fault: the clock of Redis may say once more what it said before.
        return found.trust(at: RedisTime(microseconds: primaryRedis.time)) == .healthy
            && primaryRedis.model.dataset.knowledge.promisedAt >= healedAt
            && found.postgres == primaryPostgres.model.identityText
    }

    // MARK: Messages

    /// How long a message takes on its way.
    func latency() -> Int64 {
        if plan.isCalm || isHealed { return 40_000 + Int64(scheduler.random.below(300_000)) }
        if !scheduler.random.chance(oneIn: plan.slowness) { return 40_000 + Int64(scheduler.random.below(500_000)) }
        switch scheduler.random.below(16) {
        case 0: return Int64(scheduler.random.below(7_000_000_000))
        case 1..<5: return Int64(scheduler.random.below(600_000_000))
        default: return Int64(scheduler.random.below(20_000_000))
        }
    }

    /// How much longer than a message an answer takes that lingers, at the most so long.
    func lingering(_ limit: Int) -> Int64 {
        plan.answersLinger && !isHealed && scheduler.random.chance(oneIn: 2) ? Int64(scheduler.random.below(limit)) : 0
    }

    /// How long somebody takes who is between two things.
    func shortLatency() -> Int64 {
        plan.isCalm || isHealed || !scheduler.random.chance(oneIn: 16)
            ? Int64(scheduler.random.below(100_000)) : Int64(scheduler.random.below(200_000_000))
    }

    /// When an actor does what it does next: mostly when the others do.
    func nextMoment() -> Int64 {
        let now = scheduler.now
        // What nothing strikes any more is done at once.
        guard now < plan.duration else { return now + Int64(scheduler.random.below(8_000_000)) }
        if !scheduler.random.chance(oneIn: 4), let burst = plan.bursts.first(where: { $0 > now }) {
            // Some come before, so that there is something in the cache.
            if scheduler.random.chance(oneIn: 4), burst - now > 30_000_000 { return burst - 20_000_000 }
            return burst + Int64(scheduler.random.below(4_000_000))
        }
        let pause = scheduler.random.below(scheduler.random.chance(oneIn: 4) ? Int(plan.duration) / 2 : 8_000_000)
        return min(now + Int64(pause), plan.duration + Int64(scheduler.random.below(8_000_000)))
    }

    // MARK: Processes

    private func addProcess(_ name: String) -> SimulatedProcess {
        let process = SimulatedProcess(name: name, scheduler: scheduler)
        processes.append(process)
        return process
    }

    private func redis(of process: SimulatedProcess) -> SimulatedRedis {
        let redis = SimulatedRedis(self, process)
        redisConnections.append(redis)
        return redis
    }

    private var limits: KeyspaceLimits {
        var limits = KeyspaceLimits()
        limits.entitiesPerScript = plan.entitiesPerScript
        limits.variantsPerEntity = plan.variantsPerEntity
        limits.timeToLive = plan.timeToLive
        limits.fillAge = plan.fillAge
        return limits
    }

    private func addWorker(_ name: String) {
        let process = addProcess(name)
        var configuration = InvalidationWorker.Configuration()
        configuration.limits = limits
        configuration.collapseThreshold = plan.collapseThreshold
        // Rarer than in production: a pass that finds nothing is a step that finds nothing.
        configuration.pollIntervalWithoutNotifications = .milliseconds(500)
        var worker = InvalidationWorker(
            postgres: PostgresConfiguration(connectionString: ""),
            redis: redis(of: process),
            configuration: configuration,
            logger: Self.logger
        )
        worker.surroundings = process.surroundings
        worker.openJournal = { [self] in try await SimulatedJournal.open(self, process) }
        if plan.hearsHints { worker.openHints = { [self] in try await SimulatedHints.open(self, process) } }
        workers.append(WorkerActor(name: name, process: process))
        process.begin { [worker] in await worker.run() }
    }

    private func addReader(_ name: String, number: Int) {
        let process = addProcess(name)
        if plan.readsFromReplica, number == plan.readerCount { foreign = process }
        var options = CacheOptions()
        options.surroundings = process.surroundings
        options.registry = CacheRegistry()
        options.degradation = plan.degradedSeconds == 0 ? .bypass : .serve(upTo: .seconds(plan.degradedSeconds))
        if !plan.sharingWaits { options.sharing.wait = .zero }
        if plan.hasNearCache {
            var near = NearCacheOptions(redis: Self.redisConfiguration)
            // Rarer than in production: most polls are steps that find nothing.
            near.pollInterval = .seconds(1)
            near.limits.count = plan.nearCount
            near.open = { [self] report in try await SimulatedTracking.open(self, process, report) }
            options.nearCache = near
        }
        do {
            let lookup = try WorkflowLookup(
                redis: redis(of: process),
                namespace: namespace,
                limits: limits,
                options: options,
                loader: { [self] in try await load($0, process) },
                logger: Self.logger
            )
            if plan.hasNearCache { process.begin { await lookup.follow() } }
            let reader = ReaderActor(self, process, lookup)
            readers.append(reader)
            for _ in 0..<plan.lookupsAtOnce { reader.begin(lookups: plan.lookupsPerReader) }
        } catch {
            checker.violate(.answered, "\(error)")
        }
    }

    private static let redisConfiguration: RedisConfiguration = {
        do { return try RedisConfiguration(url: "redis://127.0.0.1:1") } catch { preconditionFailure("\(error)") }
    }()

    private func addWriter(_ name: String, transactions: Int) {
        WriterActor(self, addProcess(name)).begin(transactions: transactions)
    }

    func actorBegan() { busyActors += 1 }
    func actorEnded() { busyActors -= 1 }

    /// A reader that is not a foreign one, to be handed a token.
    func handToReader(_ token: ReadToken, _ commit: Checker.Commit) {
        let able = readers.filter { !$0.process.isDead && !isForeign($0.process) }
        guard !able.isEmpty else { return }
        scheduler.random.pick(able).readOwnWrite(token, commit)
    }

    /// Whether a reader loads from a replica, against the rule.
    func isForeign(_ process: SimulatedProcess) -> Bool { process === foreign }

    /// Whether a process may have loaded from a primary that was left behind, at some moment since another: what was committed on
    /// the new one it could not see there.
    func wasOnTheOldSide(_ process: SimulatedProcess, since start: Int64) -> Bool {
        isIsolated.contains(process.name) || isolationEnds[process.name].map { $0 >= start } == true
    }

    private func endIsolation() {
        for name in isIsolated { isolationEnds[name] = scheduler.now }
        isIsolated = []
    }

    // MARK: Postgres

    private func add(_ model: PostgresModel) -> PostgresServer {
        let server = PostgresServer(model)
        model.published = { [unowned self, unowned server] transaction in
            checker.published(transaction, on: server)
            notify(transaction, on: server)
            if plan.isCalm, transaction.journals { expectPromptness(model.moment, of: server) }
        }
        postgresServers.append(server)
        checker.add(server)
        return server
    }

    /// The tables as they are when the simulation begins, journaled and not yet applied.
    private func populate() {
        let model = primaryPostgres.model
        let transaction = model.begin(.readCommitted)
        for workflow in plan.workflows where !scheduler.random.chance(oneIn: 4) {
            perform(.insertWorkflow(workflow, environment: environment()), transaction)
        }
        for detector in plan.detectors {
            for workflow in plan.workflows where !scheduler.random.chance(oneIn: 3) {
                perform(.insertLink(detector: detector, workflow: workflow), transaction)
            }
        }
        model.commit(transaction)
    }

    private func perform(_ statement: ApplicationStatement, _ transaction: PostgresModel.Transaction) {
        _ = primaryPostgres.model.advance(PostgresModel.Execution(statement, transaction))
    }

    func environment() -> Int64? {
        let place = scheduler.random.below(plan.environments.count + 1)
        return place == 0 ? nil : plan.environments[place - 1]
    }

    private func notify(_ transaction: PostgresModel.Transaction, on server: PostgresServer) {
        guard transaction.journals, plan.notifies else { return }
        for session in server.sessions where session.isListening {
            if plan.notificationLoss > 0, !isHealed, scheduler.random.chance(oneIn: plan.notificationLoss) { continue }
            let payloads = transaction.notifications
            for _ in 0..<(plan.notifiesTwice && !isHealed ? 2 : 1) {
                // Who does not listen any more by then is not told.
                scheduler.after(latency()) { if session.isListening { session.notify(payloads) } }
            }
        }
        if plan.forgesHints, !isHealed { forgeHints(transaction.notifications, on: server) }
    }

    /// Somebody who has heard of changes notifies as well: of one once more, of one under a name of its own, of one as another.
    private func forgeHints(_ payloads: [String], on server: PostgresServer) {
        let real = payloads.filter { !$0.isEmpty }
        hintsHeard += real
        guard let latest = real.last, let parts = latest.firstIndex(of: " ") else { return }
        let other = scheduler.random.pick(hintsHeard)
        let forged =
            switch scheduler.random.below(4) {
            case 0: other
            case 1: "forged\(latest[parts...])"
            default: "\(latest[..<parts])\(other[(other.firstIndex(of: " ") ?? other.endIndex)...])"
            }
        for session in server.sessions where session.isListening {
            scheduler.after(latency()) { if session.isListening { session.notify([forged]) } }
        }
    }

    /// A commit must be applied long before the next poll where nothing is in the way.
    private func expectPromptness(_ moment: Int, of server: PostgresServer) {
        guard server.sessions.contains(where: \.serves) else { return }
        scheduler.after(200_000_000) { [self] in
            if !checker.hasApplied(moment, of: server) {
                checker.violate(.prompt, "a commit was not applied within 200 ms, though nothing fails")
            }
        }
    }

    /// The server that a process finds now; nil where there is none.
    private func postgresServer(for process: SimulatedProcess) -> PostgresServer? {
        // Who is on the old primary's side of the network finds that one.
        if isIsolated.contains(process.name), let old = postgresServers.last(where: { $0.isLeftBehind && $0.isUp }) {
            return old
        }
        return primaryPostgres.isUp ? primaryPostgres : nil
    }

    /// Opens a session with whatever server the process finds.
    func connect(_ process: SimulatedProcess) async throws -> PostgresSession {
        let session: PostgresSession? = await process.wait(cancelled: nil) { waiter in
            scheduler.after(latency()) { [self] in
                guard let server = postgresServer(for: process) else { return waiter.resume(nil) }
                let session = PostgresSession(self, server, process)
                server.sessions.append(session)
                scheduler.after(latency()) { process.perform { waiter.resume(session) } }
            }
        }
        guard let session else { throw SessionLost() }
        return session
    }

    /// Records a commit, makes it visible, and tells.
    func commit(_ session: PostgresSession, _ transaction: PostgresModel.Transaction, then: @escaping () -> Void) {
        let (model, server) = (session.model, session.server)
        let claimed = session.claimedMoment
        session.claimedMoment = nil
        session.transaction = nil
        guard transaction.xid != 0 else { return then() }
        model.record(transaction)
        server.unreplicated = scheduler.random.chance(oneIn: 3) ? 0 : server.unreplicated + 1
        // Of those of a session that does not wait for the disk, every other has reached it; not drawn, but by id and seed.
        let isFlushed =
            (!plan.commitsAsynchronously || scheduler.random.chance(oneIn: 4))
            && (!session.commitsAsynchronously || (transaction.xid / 2 ^ plan.seed).isMultiple(of: 2))
        server.unflushed = isFlushed ? 0 : server.unflushed + 1
        scheduler.after(shortLatency()) { [self] in
            guard server.isUp else { return }
            model.publish(transaction)
            happened(.committed)
            trace { "postgres \(model.number): \(transaction.xid) of \(session.process.name) is visible" }
            if let claimed { checker.consumed(session, moment: claimed) }
            then()
        }
    }

    /// Loads what a reader misses.
    private func load(
        _ keys: [DetectorWorkflowsKey],
        _ process: SimulatedProcess
    ) async throws -> LoadedValues<DetectorWorkflowsKey, [Workflow]> {
        let old = process.oldSnapshot
        let loaded: LoadedValues<DetectorWorkflowsKey, [Workflow]>? = await process.wait(cancelled: nil) { waiter in
            scheduler.after(latency()) { [self] in
                guard let server = postgresServer(for: process),
                    !scheduler.random.chance(oneIn: isCalmOrHealed ? .max : 40)
                else { return process.perform { waiter.resume(nil) } }
                let model = server.model
                var snapshot = model.currentSnapshot()
                if plan.flaws.contains(.loadsInTheCallersSnapshot), let old { snapshot = old }
                process.oldSnapshot = snapshot
                happened(.loaded)
                var values: [DetectorWorkflowsKey: [Workflow]] = [:]
                for key in keys {
                    values[key] = model.answer(key.detectorID, key.environment.id, snapshot).map { Workflow($0) }
                }
                let isReplica = isForeign(process)
                let answer = LoadedValues(values: values, postgres: isReplica ? "replica" : model.identityText)
                trace {
                    "\(process.name) loads \(values.mapValues { $0.map { "\($0.id).\($0.organizationID)" } }) from postgres "
                        + "\(model.number) at moment \(snapshot.moment)"
                }
                scheduler.after(latency() + lingering(20_000_000)) { process.perform { waiter.resume(answer) } }
            }
        }
        guard let loaded else { throw SessionLost() }
        return loaded
    }

    private var isCalmOrHealed: Bool { plan.isCalm || isHealed }

    /// Whether a commit was undone by a crash or a promotion.
    func isLost(_ commit: Checker.Commit) -> Bool {
        guard let kept = kept[commit.server] else { return false }
        return commit.position > kept
    }

    // MARK: Redis

    private func addRedis(clockOffset: Int64) -> RedisServer {
        let server = RedisServer(self, number: redisServers.count, clockOffset: clockOffset)
        redisServers.append(server)
        return server
    }

    /// The earliest moment at which a clock of Redis can have said a time, in nanoseconds; the beginning where there is none.
    func earliestMoment(atRedisTime time: Int64) -> Int64 {
        var earliest: Int64?
        for server in redisServers {
            if let moment = server.earliestMoment(at: time) { earliest = min(moment, earliest ?? moment) }
        }
        return earliest ?? 0
    }

    /// A server of Redis is gone for good, and so is its clock.
    private func retire(_ server: RedisServer) {
        server.stop()
        server.clockEnd = scheduler.now
        checker.clockIsGone(of: server.number)
    }

    /// The server that whoever connects finds now; nil where there is none.
    var reachableRedis: RedisServer? { primaryRedis.isUp ? primaryRedis : nil }

    // MARK: Faults

    /// Something has happened that a fault may have waited for.
    ///
    /// Returns whether one has.
    @discardableResult
    func happened(_ ambush: SchedulePlan.Ambush) -> Bool {
        guard !plan.ambushes.isEmpty, !isHealed else { return false }
        happenings[ambush.rawValue] += 1
        var isAwaited = false
        for waiting in plan.ambushes where waiting.after == ambush && waiting.count == happenings[ambush.rawValue] {
            isAwaited = true
            scheduler.after(scheduler.random.chance(oneIn: 2) ? 0 : shortLatency()) { [self] in
                if !isHealed { strike(waiting.fault) }
            }
        }
        return isAwaited
    }

    private func later() -> Int64 {
        [1_000_000, 50_000_000, 700_000_000, 3_000_000_000, 8_000_000_000][scheduler.random.below(5)]
    }

    private func strike(_ fault: SchedulePlan.Fault) {
        trace { "FAULT \(fault)" }
        let redis: RedisServer = primaryRedis
        let postgres: PostgresServer = primaryPostgres
        switch fault {
        case .loseRedisConnection:
            if let connection = redisConnections.filter({ $0.server != nil }).randomElement(using: &scheduler.random) {
                connection.lose()
            }
        case .redisHangs:
            redis.hangsUntil = scheduler.now + later()
        case .redisRestartsEmpty: restartRedis(with: RedisDataset())
        case .redisRestartsFromFile: restartRedis(with: redis.saved)
        case .redisIsResynchronised:
            // Demoted and promoted again, with no connection lost.
            redis.model.replace(with: scheduler.random.chance(oneIn: 2) ? redis.replicated : redis.saved)
            redis.copy()
        case .redisFailsOver: failOverRedis(inPlace: false)
        case .redisIsDemotedInPlace: failOverRedis(inPlace: true)
        case .flush:
            redis.model.replace(with: RedisDataset())
            redis.copy()
        case .evict:
            if let key = redis.model.dataset.entries.keys.sorted().randomElement(using: &scheduler.random) {
                redis.model.unlink(key)
                forgetLostPromises(redis)
                redis.copy()
            }
        case .redisIsFull:
            redis.model.isFull = true
            scheduler.after(later()) { redis.model.isFull = false }
        case .redisClockStepsForward: redis.stepClock(by: Int64(1 + scheduler.random.below(20_000_000)))
        case .redisClockStepsBack: redis.stepClock(by: -Int64(1 + scheduler.random.below(20_000_000)))
        case .poison: poison(redis)
        case .switchOff:
            let head = headKey
            _ = redis.model.execute(.command(RedisCommand("HSET", .string(head), "switch", "off")))
            scheduler.after(later()) { [self] in
                _ = primaryRedis.model.execute(.command(RedisCommand("HDEL", .string(head), "switch")))
            }
        case .trackingIsCut:
            trackings.filter(\.isOpen).randomElement(using: &scheduler.random)?.cut(clientNotices: later())
        case .pushesAreLost:
            trackings.filter(\.isOpen).randomElement(using: &scheduler.random)?.deafen()
        case .sessionEnds:
            postgres.sessions.filter(\.isOpen).randomElement(using: &scheduler.random)?.terminate()
        case .sessionIsCut:
            postgres.sessions.filter(\.isOpen).randomElement(using: &scheduler.random)?
                .cut(clientNotices: later(), serverNotices: later())
        case .postgresRestarts: replacePostgres(losing: 0, keepsToken: true, isPromoted: false)
        case .postgresCrashes: replacePostgres(losing: postgres.unflushed, keepsToken: false, isPromoted: false)
        case .postgresFailsOver: replacePostgres(losing: postgres.unreplicated, keepsToken: false, isPromoted: true)
        case .triggersOff:
            setTriggers(false, on: postgres)
        case .workerPauses: pause(workers.randomElement(using: &scheduler.random)?.process)
        case .workersFallSilent:
            for worker in workers { worker.process.pause() }
        case .readerPauses: pause(readers.randomElement(using: &scheduler.random)?.process)
        case .workerDies:
            guard let place = workers.indices.randomElement(using: &scheduler.random) else { return }
            let dead = workers.remove(at: place)
            kill(dead.process)
            scheduler.after(later()) { [self] in
                if !scheduler.isOver { addWorker(dead.name) }
            }
        case .readerDies:
            guard let place = readers.indices.randomElement(using: &scheduler.random) else { return }
            kill(readers.remove(at: place).process)
        case .writerDies:
            kill(processes.filter { $0.name.hasPrefix("writer") && !$0.isDead }.randomElement(using: &scheduler.random))
        }
    }

    private func pause(_ process: SimulatedProcess?) {
        guard let process else { return }
        process.pause()
        scheduler.after(later()) { process.resume() }
    }

    private func kill(_ process: SimulatedProcess?) {
        guard let process else { return }
        process.kill()
        for server in postgresServers {
            for session in server.sessions where session.process === process {
                // The host may be gone, and then says nothing.
                session.cut(clientNotices: 0, serverNotices: scheduler.random.chance(oneIn: 2) ? latency() : later())
            }
        }
    }

    private func poison(_ redis: RedisServer) {
        let entity = namespace.key(of: Entity(scheduler.random.pick(plan.detectors)))
        let head = headKey
        switch scheduler.random.below(5) {
        case 0: _ = redis.model.execute(.command(RedisCommand("SET", .string(entity), "x")))
        case 1: _ = redis.model.execute(.command(RedisCommand("SET", .string(head), "x")))
        case 2:
            // No more fields than there were: how many there may be is for the library to see to.
            guard redis.model.visibleField(entity, "e:-") != nil else { return }
            _ = redis.model.execute(.command(RedisCommand("HSET", .string(entity), "e:-", "garbage")))
        case 3: _ = redis.model.execute(.command(RedisCommand("HSET", .string(head), "mark", .bytes([7, 200]))))
        default: _ = redis.model.execute(.command(RedisCommand("HSET", .string(entity), "g", "zero")))
        }
        forgetLostPromises(redis)
        redis.copy()
    }

    /// Without its head a dataset promises as little as an empty one.
    private func forgetLostPromises(_ redis: RedisServer) {
        if redis.model.dataset.field(headKey, "pg") == nil { redis.model.dataset.knowledge.promisedTimeline = 0 }
    }

    private func restartRedis(with dataset: RedisDataset) {
        let redis: RedisServer = primaryRedis
        redis.stop()
        redis.model.replace(with: dataset)
        redis.model.isFull = false
        scheduler.after(scheduler.random.chance(oneIn: 2) ? 1_000_000 : later()) { redis.isUp = true }
    }

    /// A replica is promoted, which lacks what was written last.
    ///
    /// - Parameter inPlace: The old primary then becomes its replica without losing a connection, and some time later the
    ///   primary again.
    private func failOverRedis(inPlace: Bool) {
        let old: RedisServer = primaryRedis
        let skew = scheduler.random.chance(oneIn: 3) ? Int64(scheduler.random.below(6_000_000)) - 3_000_000 : 0
        let new = addRedis(clockOffset: old.clockOffset + skew)
        if skew < 0 { checker.clockWasSteppedBack(by: -skew, from: old.number, to: new.number) }
        new.model.dataset = old.replicated
        new.copy()
        primaryRedis = new
        // For some time the old one serves those who are connected to it.
        scheduler.after(scheduler.random.chance(oneIn: 2) ? 0 : later()) { [self] in
            guard inPlace, !isHealed, new.isUp, primaryRedis === new else { return retire(old) }
            old.model.role = .replica
            old.model.replace(with: new.model.dataset)
            trace { "redis \(old.number) is a replica" }
            scheduler.after(later()) { [self] in
                guard !isHealed, new.isUp, primaryRedis === new, scheduler.random.chance(oneIn: 2) else {
                    return retire(old)
                }
                old.model.replace(with: new.replicated)
                if old.clockOffset < new.clockOffset {
                    checker.clockWasSteppedBack(by: new.clockOffset - old.clockOffset)
                }
                old.model.role = .primary
                old.copy()
                primaryRedis = old
                trace { "redis \(old.number) is the primary again" }
                retire(new)
            }
        }
    }

    private func replacePostgres(losing lost: Int, keepsToken: Bool, isPromoted: Bool) {
        let old: PostgresServer = primaryPostgres
        guard old.isUp else { return }
        let lost = min(lost, old.model.log.count)
        kept[old.model.number] = old.model.log.count - lost
        let model = PostgresModel(
            after: old.model,
            number: postgresServers.count,
            losing: lost,
            timeline: old.model.timeline + (isPromoted ? 1 : 0),
            keepsToken: keepsToken
        )
        let isOldAlive = isPromoted && scheduler.random.chance(oneIn: 2)
        if isOldAlive {
            // Those who are connected to it stay, and some of the others do not reach the new one.
            old.isLeftBehind = true
            endIsolation()
            isIsolated = Set(processes.map(\.name).filter { _ in scheduler.random.chance(oneIn: 3) })
            scheduler.after(later()) { [self] in
                old.stop(self)
                checker.ended(old)
                // Unless there has been another promotion, which has left others behind.
                if !postgresServers.contains(where: { $0.isLeftBehind && $0.isUp }) { endIsolation() }
            }
        } else {
            old.stop(self)
            checker.ended(old)
        }
        primaryPostgres = add(model)
        let server: PostgresServer = primaryPostgres
        server.isUp = false
        trace { "postgres \(model.number) follows \(old.model.number), and \(lost) commits are lost" }
        scheduler.after(scheduler.random.chance(oneIn: 2) ? 1_000_000 : later()) { server.isUp = true }
    }

    /// Switches the triggers, as soon as nobody is writing: it takes a lock.
    private func setTriggers(_ enabled: Bool, on server: PostgresServer) {
        server.model.whenIdle { [self] in
            // Whoever waited to switch them off until the faults were over does not do it any more. And where nothing is switched,
            // nothing must look as if it were: a worker would invalidate everything, and so would hide what is wrong.
            guard server.isUp, !scheduler.isOver, enabled || !isHealed, server.model.triggersEnabled != enabled
            else { return }
            server.model.triggersEnabled = enabled
            server.model.triggerVersion += 1
            trace { "triggers \(enabled ? "on" : "off")" }
            if !enabled { scheduler.after(later()) { [self] in setTriggers(true, on: primaryPostgres) } }
        }
    }

    private func heal() {
        trace { "the faults are over" }
        isHealed = true
        endIsolation()
        for process in processes { process.resume() }
        for server in postgresServers where server !== primaryPostgres && server.isUp {
            server.stop(self)
            checker.ended(server)
        }
        primaryPostgres.isUp = true
        for server in redisServers {
            server.hangsUntil = 0
            server.model.isFull = false
            if server !== primaryRedis, server.isUp { retire(server) }
        }
        primaryRedis.isUp = true
        healedAt = scheduler.now
        if workers.isEmpty { addWorker("worker 9") }
        setTriggers(true, on: primaryPostgres)
        _ = primaryRedis.model.execute(
            .command(RedisCommand("HDEL", .string(headKey), "switch"))
        )
    }
}

/// A worker of the simulation.
struct WorkerActor {
    var name: String
    var process: SimulatedProcess
}

extension Workflow {
    /// A workflow of the model; what changes with every change of it is in `organizationID`.
    init(_ row: PostgresModel.WorkflowRow) {
        self.init(
            id: row.id,
            name: "",
            isEnabled: row.isEnabled,
            status: 0,
            config: "",
            organizationID: row.content,
            environmentID: row.environment,
            whenConditionGroupID: nil,
            ownerUserID: nil,
            ownerTeamID: nil,
            createdByID: nil,
            dateAdded: .distantEpoch,
            dateUpdated: .distantEpoch
        )
    }
}
