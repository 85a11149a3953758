import ArgumentParser
import Freshet
import FreshetPostgres
import History
import Logging
import Postgres
import Redis
import Surroundings

/// A process that reads.
struct ReaderCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "reader", shouldDisplay: false)

    /// How a process uses its cache.
    enum Profile: String, ExpressibleByArgument, CaseIterable {
        /// Several tasks, which share loads with each other and with other processes.
        case shared
        /// One task that shares nothing: what it loads it has loaded itself.
        case alone
        /// Several tasks with a cache in memory.
        case near
    }

    @OptionGroup var client: ClientOptions
    @Option var profile: Profile

    func run() async throws {
        let logger = Logger.client(client.name)
        let termination = Termination()
        let recorder = try ReadRecorder(path: client.record)
        let configuration = try RedisConfiguration(url: client.redis)
        let redis = RedisNode(configuration, logger: logger)
        let pool = PostgresPool.client(client, logger: logger)
        let loader = PostgresWorkflowLoader(pool: pool)
        var options = CacheOptions(client)
        if profile == .alone { options.sharing.wait = .zero }
        if profile == .near { options.nearCache = NearCacheOptions(redis: configuration) }
        if client.cache == .deleting {
            let cache = DeletingCache(redis: redis, loader: loader)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for task in 1...3 as ClosedRange<UInt64> {
                    group.addTask { try await read(cache, recorder, seed: client.seed &+ task, until: termination) }
                }
                try await group.waitForAll()
            }
        } else {
            let lookup = try WorkflowLookup(redis: redis, options: options, loader: loader.load, logger: logger)
            let feed = Task { try await lookup.run() }
            try await withThrowingTaskGroup(of: Void.self) { group in
                let count: UInt64 = profile == .alone ? 1 : profile == .near ? 2 : 4
                for task in 1...count {
                    group.addTask { try await read(lookup, recorder, seed: client.seed &+ task, until: termination) }
                }
                try await group.waitForAll()
            }
            feed.cancel()
        }
        try recorder.flush()
        await pool.close()
        await redis.close()
    }

    private func read(
        _ lookup: WorkflowLookup,
        _ recorder: ReadRecorder,
        seed: UInt64,
        until termination: Termination
    ) async throws {
        var randomness = SplitMix64(seed: seed)
        while !termination.isRequested {
            let choice = randomness.below(ChaosData.environments.count + 1)
            let environment: DetectorEnvironment =
                choice == 0 ? .global : .environment(Int64(ChaosData.environments[choice - 1]))
            let detectors = ChaosData.detectors.shuffled(using: &randomness).prefix(6 + randomness.below(8))
            do {
                if profile == .near, !randomness.chance(oneIn: 4) {
                    for detector in detectors {
                        let began = Moment.now
                        let answer = try await lookup.workflows(ofDetector: detector, in: environment)
                        try record(answer, in: environment, began: began, recorder)
                    }
                } else {
                    let began = Moment.now
                    let answer = try await lookup.workflows(ofDetectors: detectors, in: environment)
                    try record(answer, in: environment, began: began, recorder)
                }
            } catch let error as RecordFailure {
                throw error
            } catch {
                // A server is away; that is what this is about.
                try await Task.sleep(for: .milliseconds(20))
            }
            try await Task.sleep(for: .milliseconds(1 + randomness.below(3)))
        }
    }

    private func record(
        _ answer: WorkflowAnswer,
        in environment: DetectorEnvironment,
        began: Moment,
        _ recorder: ReadRecorder
    ) throws {
        try recorder.record(
            answer,
            in: environment,
            began: began,
            ended: .now,
            isAlone: profile == .alone
        )
    }

    private func read(
        _ cache: DeletingCache,
        _ recorder: ReadRecorder,
        seed: UInt64,
        until termination: Termination
    ) async throws {
        var randomness = SplitMix64(seed: seed)
        while !termination.isRequested {
            let keys = ChaosData.keys.shuffled(using: &randomness).prefix(8)
            do {
                let began = Moment.now
                let answers = try await cache.values(of: Array(keys))
                // Such a cache knows of no doubt.
                try recorder.record(answers, trust: .healthy, began: began, ended: .now, token: 0)
            } catch let error as RecordFailure {
                throw error
            } catch {
                try await Task.sleep(for: .milliseconds(20))
            }
            try await Task.sleep(for: .milliseconds(1 + randomness.below(6)))
        }
    }
}

extension CacheOptions {
    /// Those of a process of the load.
    init(_ client: ClientOptions) {
        self.init()
        degradation = .serve(
            upTo: client.cache == .trusting ? .seconds(86_400) : .milliseconds(client.degradedMilliseconds)
        )
    }
}

extension PostgresPool {
    /// That of a process of the load.
    static func client(_ client: ClientOptions, logger: Logger) -> PostgresPool {
        var configuration = PostgresConfiguration(connectionString: client.postgres, applicationName: client.name)
        configuration.connectTimeLimit = .seconds(3)
        configuration.queryTimeLimit = .seconds(3)
        configuration.requiresReadWrite = true
        return PostgresPool(
            configuration: configuration,
            maximumConnections: 3,
            waitTimeLimit: .seconds(3),
            logger: logger
        )
    }
}
