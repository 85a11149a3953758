import ArgumentParser
import Freshet
import FreshetPostgres
import History
import Logging
import Postgres
import Redis
import Surroundings

/// The process that writes.
struct WriterCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "writer", shouldDisplay: false)

    @OptionGroup var client: ClientOptions
    @Option(help: "The files to record to what the writer reads, without the number of the start.")
    var reads: String

    func run() async throws {
        let logger = Logger.client(client.name)
        let termination = Termination()
        let log = WriterLog(file: try RecordFile(nextOf: client.record))
        let recorder = try ReadRecorder(path: reads)
        let redis = RedisNode(try RedisConfiguration(url: client.redis), logger: logger)
        let pool = PostgresPool.client(client, logger: logger)
        let loader = PostgresWorkflowLoader(pool: pool)
        let lookup = try WorkflowLookup(
            redis: redis,
            options: CacheOptions(client),
            loader: loader.load,
            logger: logger
        )
        var postgres = PostgresConfiguration(connectionString: client.postgres, applicationName: client.name)
        postgres.connectTimeLimit = .seconds(3)
        postgres.queryTimeLimit = .seconds(10)
        postgres.requiresReadWrite = true
        let configuration = postgres
        let deletes = client.cache == .deleting
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (number, owners) in (ChaosData.owners.map { [$0] } + [ChaosData.owners]).enumerated() {
                group.addTask {
                    let afterCommit: HistoryWriter.AfterCommit = { transaction, changed, token in
                        if deletes {
                            // Whoever writes in bulk does not know what it has touched.
                            guard owners.count == 1, !changed.isEmpty else { return }
                            try await DeletingCache.delete(Array(changed), from: redis)
                        } else if transaction.id % 2 == 0, let token = ReadToken(token) {
                            try await read(owners, after: token, of: transaction, lookup, recorder)
                        }
                    }
                    var writer = HistoryWriter(
                        owners: owners,
                        randomness: SplitMix64(seed: client.seed &+ UInt64(number)),
                        log: log,
                        afterCommit: afterCommit
                    )
                    try await writer.run(configuration, until: termination)
                }
            }
            for number in 1...2 as ClosedRange<UInt64> {
                group.addTask {
                    var writer = ArenaWriter(randomness: SplitMix64(seed: client.seed &- number))
                    try await writer.run(configuration, until: termination)
                }
            }
            try await group.waitForAll()
        }
        try recorder.flush()
        await pool.close()
        await redis.close()
    }

    /// Reads what has just been written.
    private func read(
        _ owners: [Int],
        after token: ReadToken,
        of transaction: Transaction,
        _ lookup: WorkflowLookup,
        _ recorder: ReadRecorder
    ) async throws {
        let detectors = owners.flatMap { ChaosData.detectors(of: $0) }.map { Int64($0) }
        let environment = DetectorEnvironment.environment(
            Int64(ChaosData.environments[Int(transaction.id / 2 % UInt64(ChaosData.environments.count))])
        )
        let began = Moment.now
        let answer = try await lookup.workflows(ofDetectors: detectors, in: environment, after: token)
        try recorder.record(
            answer,
            in: environment,
            began: began,
            ended: .now,
            isAlone: true,
            token: transaction.id
        )
    }
}
