import Freshet
import Keyspace
import LocalServices
import Logging
import Redis

/// What a test does to Redis past the library, and what it finds there.
extension Scenario {
    /// Runs `body` in a scenario whose Redis is its own, on the Postgres that all share.
    static func withOwnRedis(
        listensOnTCP: Bool = false,
        limits: KeyspaceLimits = KeyspaceLimits(),
        options: CacheOptions = CacheOptions(),
        _ body: @Sendable (Scenario, LocalRedis) async throws -> Void
    ) async throws {
        let redis = try await LocalRedis.start(listensOnTCP: listensOnTCP, logger: testLogger)
        do {
            let servers = Servers(postgres: try await Servers.shared().postgres, redis: redis)
            try await run(on: servers, limits: limits, options: options) { try await body($0, redis) }
        } catch {
            await redis.destroy()
            throw error
        }
        await redis.destroy()
    }

    /// A further reader, as another process would be one.
    func reader(
        redis other: (any RedisClient)? = nil,
        options: CacheOptions? = nil,
        logger: Logger = testLogger,
        loader: WorkflowLookup.Loader? = nil
    ) throws -> WorkflowLookup {
        var options = options ?? self.options
        options.registry = CacheRegistry()
        return try WorkflowLookup(
            redis: other ?? redis,
            namespace: namespace,
            limits: limits,
            options: options,
            loader: loader ?? loads.load,
            logger: logger
        )
    }

    /// The key of the first bucket's head.
    var headKey: String { namespace.headKey(bucket: 0) }

    /// The key of a detector.
    func key(_ detector: Int64) -> String { namespace.key(of: Entity(detector)) }

    /// Runs one command, and fails where the server says no.
    @discardableResult
    func command(_ name: String, _ arguments: RedisArgument...) async throws -> RedisReply {
        try await redis.send(RedisCommand(name, arguments: arguments), key: headKey).get()
    }

    /// One field of a hash.
    func field(_ field: String, of key: String) async throws -> [UInt8]? {
        try await command("HGET", .string(key), .string(field)).bytes.map { Array($0) }
    }

    /// The entry of a detector and an environment, whether or not it is valid.
    func entry(_ detector: Int64, _ environment: DetectorEnvironment) async throws -> Entry? {
        try await field("e:\(environment.variant)", of: key(detector)).map { bytes in try EntryCodec.decode(bytes) }
    }

    /// The time of Redis.
    func redisTime() async throws -> RedisTime? {
        try await command("TIME").serverTimeInMicroseconds.map { RedisTime(microseconds: $0) }
    }

    /// How far a reader relies on Redis now.
    func trust() async throws -> Trust {
        try await lookup.workflows(ofDetectors: []).trust
    }

    /// Waits until readers rely on Redis as far as this.
    func reach(_ trust: Trust, within limit: Duration = .seconds(30)) async throws {
        _ = try await eventually("readers to see \(trust)", within: limit) { [self] in
            try await self.trust() == trust ? true : nil
        }
    }

    /// Waits until so much time has passed by the clock of Redis.
    func redisTimePasses(_ duration: Duration) async throws {
        guard let start = try await redisTime() else { return }
        _ = try await eventually("\(duration) to pass") { [self] in
            try await redisTime().map { $0.since(start) > duration } == true ? true : nil
        }
    }
}

extension KeyspaceLimits {
    /// The defaults, but for this: what is seconds in production is moments in a test.
    init(lease: Duration) {
        self.init()
        self.lease = lease
    }
}

extension CacheOptions {
    /// The defaults, but for this: what is minutes in production is moments in a test.
    init(degradedAge: Duration) {
        self.init()
        degradation = .serve(upTo: degradedAge)
    }
}
