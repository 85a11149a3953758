/// What one schedule is like: how many of everything, how it is set up, what strikes it.
///
/// All of it follows from the seed.
package struct SchedulePlan: Sendable {
    /// What a fault lies in wait for.
    enum Ambush: Int, CaseIterable, Sendable { case claimed, applied, consumed, loaded, filled, committed }

    /// What may strike.
    enum Fault: CaseIterable, Sendable {
        // Redis.
        case loseRedisConnection, redisHangs, redisRestartsEmpty, redisRestartsFromFile, redisFailsOver
        case redisIsResynchronised, redisIsDemotedInPlace, flush, evict, redisIsFull, redisClockStepsForward,
            redisClockStepsBack
        case poison, switchOff, trackingIsCut
        // Postgres.
        case sessionEnds, sessionIsCut, postgresRestarts, postgresCrashes, postgresFailsOver, triggersOff
        // Processes.
        case workerPauses, workerDies, readerPauses, readerDies, writerDies
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
    /// How long the busy part lasts.
    var duration: Int64 = 4_000_000_000
    var faults: [(time: Int64, fault: Fault)] = []
    /// Faults that strike just after something has happened so many times.
    var ambushes: [(after: Ambush, count: Int, fault: Fault)] = []
    /// Moments at which everybody does something: what never meets finds nothing.
    var bursts: [Int64] = []
    var hasNearCache = false
    var degradedSeconds = 60
    var notifies = true
    /// Of how many notifications one is lost; 0 for none.
    var notificationLoss = 0
    var factsFail = false
    var collapseThreshold: Int64 = 100_000
    var escalationRows = 10_000
    var entitiesPerScript = 100
    var variantsPerEntity = 64
    var sharingWaits = true
    /// Of how many writes of Redis the replica lacks one for a while.
    var replicaLag = 3
    /// Whether a commit is acknowledged before it is on disk.
    var commitsAsynchronously = false
    /// Of how many ways of a message one is slow.
    var slowness = 12
    var tokens = false
    /// How many other readers' Postgres is another one.
    var readsFromReplica = false

    package init(seed: UInt64, flaws: Flaws = []) {
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
        commitsAsynchronously = random.chance(oneIn: 3)
        slowness = [6, 12, 40][random.below(3)]
        tokens = random.chance(oneIn: 3)
        readsFromReplica = random.chance(oneIn: 10)
        if random.chance(oneIn: 3) { bursts.append(Int64(random.below(4_000_000))) }
        bursts += (0..<(1 + random.below(4))).map { _ in Int64(random.below(Int(duration))) }
        bursts.sort()
        if isCalm {
            notifies = true
            workerCount = max(1, workerCount)
            // Whoever keeps something in memory has to be told of bumps of the namespace, too.
            hasNearCache = random.chance(oneIn: 2)
            if random.chance(oneIn: 2) { escalationRows = 1 }
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
        }
    }
}
