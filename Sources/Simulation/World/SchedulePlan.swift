import Surroundings

/// What one schedule is like: how many of everything, how it is set up, what strikes it.
///
/// All of it follows from the seed.
package struct SchedulePlan: Sendable {
    /// What a fault lies in wait for.
    enum Ambush: Int, CaseIterable, Sendable {
        case claimed, applied, consumed, loaded, filled, committed
        /// A script of a pass has run, and another of the same pass is to follow.
        case scriptRan
        /// Something was bumped on a hint.
        case hinted
    }

    /// How much there is of everything.
    package enum Size: Sendable {
        /// Some 350 steps.
        case usual
        /// Half of that in seven schedules of eight, so that twice as many fit into the same time. Which of the two finds more in that
        /// time depends on what is broken.
        case brief
    }

    /// What may strike.
    enum Fault: CaseIterable, Sendable {
        // Redis.
        case loseRedisConnection, redisHangs, redisRestartsEmpty, redisRestartsFromFile, redisFailsOver
        case redisIsResynchronised, redisIsDemotedInPlace, flush, evict, redisIsFull, redisClockStepsForward,
            redisClockStepsBack
        case poison, switchOff, trackingIsCut, pushesAreLost
        // Postgres.
        case sessionEnds, sessionIsCut, postgresRestarts, postgresCrashes, postgresFailsOver, triggersOff
        // Processes.
        case workerPauses, workersFallSilent, workerDies, readerPauses, readerDies, writerDies
    }

    var flaws: Flaws
    let seed: UInt64
    /// Nothing strikes, and nothing takes long: then promptness can be held to a bound.
    var isCalm = false
    var detectors: [Int64] = [1, 2]
    var environments: [Int64] = [5, 6]
    var workflows: [Int64] = [1, 2, 3]
    var readerCount = 1
    var lookupsAtOnce = 1
    var lookupsPerReader = 6
    var workerCount = 1
    var writerCount = 2
    var transactionsPerWriter = 3
    var statementsPerTransaction = 2
    /// For how long at most a writer thinks between two statements.
    var hesitation: Int64 = 0
    /// Whether some writers link what others move, and neither sees the other.
    var isCrossing = false
    /// Of how many statements one writes all rows; 0 for none beyond the usual.
    var bulkiness = 0
    /// How long the busy part lasts.
    var duration: Int64 = 4_000_000_000
    var faults: [(time: Int64, fault: Fault)] = []
    /// Faults that strike just after something has happened so many times.
    var ambushes: [(after: Ambush, count: Int, fault: Fault)] = []
    /// Moments at which everybody does something: what never meets finds nothing.
    var bursts: [Int64] = []
    var hasNearCache = false
    /// How many values memory holds at most.
    var nearCount = 100_000
    var degradedSeconds = 60
    var notifies = true
    /// Whether notifications tell what was changed, and workers bump on that.
    var hearsHints = false
    /// Of how many notifications one is lost; 0 for none.
    var notificationLoss = 0
    /// Whether somebody who listens, too, sends hints of their own making.
    var forgesHints = false
    var factsFail = false
    var collapseThreshold: Int64 = 100_000
    var escalationRows = 10_000
    var entitiesPerScript = 100
    var variantsPerEntity = 64
    var sharingWaits = true
    /// Of how many writes of Redis the replica lacks one for a while.
    var replicaLag = 3
    /// The replica takes over but one of so many writes.
    var replicaStall = 1
    /// Whether a commit is acknowledged before it is on disk.
    var commitsAsynchronously = false
    /// Of how many ways of a message one is slow.
    var slowness = 12
    var tokens = false
    /// Whether loads, and what is read for memory, take long to come back, also where nothing fails.
    var answersLinger = false
    /// How many other readers' Postgres is another one.
    var readsFromReplica = false
    /// Whether each notification comes twice.
    var notifiesTwice = false
    /// How long an entity stays in Redis, and how old a load may be that is still stored.
    var timeToLive = Duration.seconds(24 * 60 * 60)
    var fillAge = Duration.seconds(60)

    /// The plan of a seed.
    ///
    /// - Parameter size: Each size makes another plan of the same seed.
    package init(seed: UInt64, flaws: Flaws = [], size: Size = .usual) {
        self.seed = seed
        self.flaws = flaws
        var random = SplitMix64(seed: seed &* 0x2545_F491_4F6C_DD1D &+ 0x9E37_79B9_7F4A_7C15)
        isCalm = random.chance(oneIn: 8)
        detectors = random.chance(oneIn: 2) ? [1] : [1, 2]
        environments = random.chance(oneIn: 2) ? [5] : [5, 6]
        workflows = [[1], [1, 2], [1, 2], [1, 2, 3]][random.below(4)]
        readerCount = 1 + random.below(2)
        lookupsAtOnce = 1 + random.below(2)
        lookupsPerReader = 2 + random.below(4)
        workerCount = random.chance(oneIn: 3) ? 2 : 1
        // Only at the end somebody begins to work.
        if random.chance(oneIn: 12) { workerCount = 0 }
        writerCount = 1 + random.below(3)
        transactionsPerWriter = 1 + random.below(3)
        statementsPerTransaction = 1 + random.below(2)
        hesitation = [0, 0, 0, 5_000_000, 20_000_000, 100_000_000][random.below(6)]
        if hesitation > 0 { statementsPerTransaction = 2 }
        isCrossing = random.chance(oneIn: 6)
        if isCrossing {
            (detectors, workflows) = ([1], [1])
            (writerCount, transactionsPerWriter, statementsPerTransaction) = (2, 3, 1)
            hesitation = 20_000_000
            lookupsPerReader += 3
        }
        duration = [200_000_000, 200_000_000, 800_000_000, 800_000_000, 3_000_000_000, 8_000_000_000][random.below(6)]
        hasNearCache = random.chance(oneIn: 3)
        degradedSeconds = [60, 60, 2, 0][random.below(4)]
        notifies = !random.chance(oneIn: 6)
        notificationLoss = random.chance(oneIn: 4) ? 2 : 0
        factsFail = random.chance(oneIn: 12)
        collapseThreshold = random.chance(oneIn: 12) ? 1 : 100_000
        escalationRows = random.chance(oneIn: 12) ? 1 : 10_000
        entitiesPerScript = random.chance(oneIn: 3) ? 1 : 100
        variantsPerEntity = random.chance(oneIn: 8) ? 1 : 64
        sharingWaits = !random.chance(oneIn: 4)
        replicaLag = 2 + random.below(4)
        replicaStall = random.chance(oneIn: 4) ? 4 : 1
        commitsAsynchronously = random.chance(oneIn: 3)
        slowness = [6, 12, 40][random.below(3)]
        tokens = random.chance(oneIn: 3)
        readsFromReplica = random.chance(oneIn: 10)
        if size == .brief, !random.chance(oneIn: 8) { abridge(&random) }
        if random.chance(oneIn: 3) { bursts.append(Int64(random.below(4_000_000))) }
        bursts += (0..<(1 + random.below(4))).map { _ in Int64(random.below(Int(duration))) }
        bursts.sort()
        if isCalm {
            notifies = true
            workerCount = max(1, workerCount)
            // Whoever keeps something in memory has to be told of bumps of the namespace, too.
            hasNearCache = random.chance(oneIn: 2)
            if random.chance(oneIn: 2) {
                escalationRows = 1
                bulkiness = 2
                if workflows.count == 1 { workflows = [1, 2] }
                lookupsPerReader += 4
            }
            // What is on its way back while a commit is applied: who comes then must not be given it, and it must not be kept.
            if random.chance(oneIn: 2) {
                answersLinger = true
                lookupsAtOnce = 2
                lookupsPerReader += 2
            }
            notificationLoss = 0
            factsFail = false
            readsFromReplica = false
        } else {
            // What goes back in time is the hardest, so it comes more often.
            let kinds =
                Fault.allCases + [
                    .redisIsResynchronised, .redisIsResynchronised, .redisRestartsFromFile, .postgresCrashes,
                    .postgresCrashes,
                    .postgresFailsOver,
                ]
            // Some schedules have one fault again and again: what it leaves is what the next one finds.
            let favourite = kinds[random.below(kinds.count)]
            for _ in 0..<random.below(5) {
                let fault = random.chance(oneIn: 3) ? favourite : kinds[random.below(kinds.count)]
                let time =
                    random.chance(oneIn: 2)
                    ? bursts[random.below(bursts.count)] + Int64(random.below(8_000_000))
                    : Int64(random.below(Int(duration)))
                if random.chance(oneIn: 2) {
                    let ambush = Ambush.allCases[random.below(Ambush.allCases.count)]
                    ambushes.append((ambush, 1 + random.below(5), fault))
                } else {
                    faults.append((time, fault))
                }
            }
            // What a reader has stored is lost with the commit that it is from, often before anybody has claimed that.
            if commitsAsynchronously, random.chance(oneIn: 2) {
                ambushes.append((.filled, 1 + random.below(6), .postgresCrashes))
                if random.chance(oneIn: 2) { notifies = false }
            }
            // What is written while the triggers are off, somebody would vouch for a poll later.
            if random.chance(oneIn: 8) {
                duration = max(duration, 3_000_000_000)
                faults.append((max(0, bursts[random.below(bursts.count)] - 5_000_000), .triggersOff))
            }
            // A worker that stayed with the old primary, and one that found the new one.
            if random.chance(oneIn: 8) {
                workerCount = 2
                faults.append((bursts[random.below(bursts.count)], .postgresFailsOver))
            }
            // The last promise runs out while somebody still reads.
            if random.chance(oneIn: 12) {
                (workerCount, duration) = (1, 10_000_000_000)
                bursts = [500_000_000, 1_500_000_000, 9_000_000_000]
                faults.append((1_000_000_000, .workersFallSilent))
            }
            // What memory was not told of, it would go on answering.
            if hasNearCache, random.chance(oneIn: 2) {
                duration = 10_000_000_000
                bursts = [300_000_000, 500_000_000, 1_000_000_000, 8_000_000_000]
                let fault: Fault = random.chance(oneIn: 3) ? .pushesAreLost : .trackingIsCut
                faults.append((800_000_000 + Int64(random.below(400_000_000)), fault))
                lookupsPerReader += 4
                transactionsPerWriter = 3
            }
            // A crash gives ids again that the heads say were applied, and somebody commits before there is a worker.
            if random.chance(oneIn: 12) {
                (tokens, commitsAsynchronously) = (true, true)
                transactionsPerWriter = 3
                lookupsPerReader += 2
                ambushes.append((.consumed, 1 + random.below(4), .postgresCrashes))
                // And nothing is promised of the new one yet.
                if random.chance(oneIn: 2) {
                    writerCount = max(2, writerCount)
                    duration = max(duration, 3_000_000_000)
                    let burst = bursts[random.below(bursts.count)]
                    faults.append((max(0, burst - 5_000_000), .triggersOff))
                    faults.append((burst + Int64(random.below(10_000_000)), .postgresCrashes))
                    bursts += [burst + 300_000_000, burst + 600_000_000, burst + 1_000_000_000]
                    bursts.sort()
                }
            }
            // Between the look at the heads and the scripts of a pass, another dataset takes the place of the one looked at.
            if random.chance(oneIn: 4) {
                let fault: Fault = random.chance(oneIn: 4) ? .redisRestartsFromFile : .redisIsResynchronised
                ambushes.append((.claimed, 2 + random.below(6), fault))
                if detectors.count > 1 {
                    entitiesPerScript = 1
                    bulkiness = 2
                }
            }
            // The same between two scripts of one pass, by something older than what the first of them was applied to.
            if random.chance(oneIn: 6) {
                detectors = [1, 2]
                (entitiesPerScript, bulkiness) = (1, 2)
                (escalationRows, collapseThreshold) = (10_000, 100_000)
                replicaStall = 4
                workerCount = max(1, workerCount)
                ambushes.append((.scriptRan, 1 + random.below(4), .redisIsResynchronised))
            }
        }
        hearsHints = notifies && !random.chance(oneIn: 3)
        // Between a bump on a hint and the pass that counts on it, another dataset takes the place of the one that was bumped.
        if hearsHints, !isCalm, random.chance(oneIn: 3) {
            let fault: Fault = random.chance(oneIn: 4) ? .redisFailsOver : .redisIsResynchronised
            ambushes.append((.hinted, 1 + random.below(4), fault))
            // Several change what has nothing in common, so that one pass counts on several bumps, and takes its time.
            if random.chance(oneIn: 2) {
                replicaStall = 4
                (detectors, workflows) = ([1, 2], [1, 2, 3])
                (writerCount, transactionsPerWriter, statementsPerTransaction) = (3, 3, 1)
                (isCrossing, hesitation, bulkiness) = (false, 0, 0)
                (escalationRows, collapseThreshold, entitiesPerScript) = (10_000, 100_000, 100)
                (slowness, notificationLoss) = (6, 0)
                lookupsPerReader += 3
            }
        }
        forgesHints = hearsHints && random.below(4) == 3
        notifiesTwice = !isCalm && random.chance(oneIn: 6)
        // Nothing stays for long, and what takes a while to load is not stored.
        if random.chance(oneIn: 12) {
            let milliseconds = [(50, 5), (300, 60_000), (2_000, 200)][random.below(3)]
            (timeToLive, fillAge) = (.milliseconds(milliseconds.0), .milliseconds(milliseconds.1))
        }
        // Memory is full after a value or two.
        if hasNearCache, random.chance(oneIn: 4) { nearCount = 1 + random.below(2) }
    }

    /// Whether what is loaded is loaded for one lookup alone, as long as none is given up: no other goes on meanwhile, and nobody waits for
    /// what is claimed already, which may be his own claim in a dataset that Redis has returned to.
    var loadsAlone: Bool { readerCount == 1 && lookupsAtOnce == 1 && !tokens && !sharingWaits }

    /// Leaves as much of everything as it takes for two things to meet; what is in store for some schedules only adds to that.
    private mutating func abridge(_ random: inout SplitMix64) {
        environments = [5]
        (readerCount, lookupsAtOnce, lookupsPerReader) = (1, 1, 1 + random.below(2))
        writerCount = isCrossing ? 2 : 1
        transactionsPerWriter = 1 + random.below(2)
        workerCount = random.chance(oneIn: 8) ? workerCount : min(workerCount, 1)
        hasNearCache = hasNearCache && random.chance(oneIn: 4)
        duration = min(duration, 400_000_000)
    }
}
