public import Keyspace
public import Logging
public import Redis
public import ServiceLifecycle

/// Answers which enabled workflows some detectors trigger, from Redis where it can.
///
/// ```swift
/// let lookup = try WorkflowLookup(redis: redis, loader: loader.load, logger: logger)
/// let answer = try await lookup.workflows(ofDetectors: [1, 2], in: .environment(7))
/// for workflow in answer.workflows { … }
/// ```
public struct WorkflowLookup: Service {
    /// Loads sets of workflows from Postgres; `PostgresWorkflowLoader.load` of the product `FreshetPostgres` is one.
    public typealias Loader = CacheDefinition<DetectorWorkflowsKey, [Workflow]>.Loader

    private let cache: ReadThroughCache<DetectorWorkflowsKey, [Workflow]>

    /// A lookup on one Redis, which it does not close.
    ///
    /// - Parameters:
    ///   - namespace: As the worker has it.
    ///   - limits: As the worker has them.
    ///   - options: How this process uses the cache.
    ///   - loader: Loads what is missing. It must read the primary, in a snapshot begun after it was called.
    /// - Throws: ``CacheError/Code/namespaceInUse`` where another cache of this process has the namespace.
    public init(
        redis: any RedisClient,
        namespace: CacheNamespace = .workflows,
        limits: KeyspaceLimits = KeyspaceLimits(),
        options: CacheOptions = CacheOptions(),
        loader: @escaping Loader,
        logger: Logger
    ) throws(CacheError) {
        let definition = CacheDefinition<DetectorWorkflowsKey, [Workflow]>(
            namespace: namespace,
            entity: { Entity($0.detectorID) },
            variant: { $0.environment.variant },
            encode: WorkflowCodec.encode,
            decode: { try WorkflowCodec.decode($0) },
            limits: limits,
            load: loader
        )
        cache = try ReadThroughCache(definition, redis: redis, options: options, logger: logger)
    }

    /// Runs what goes on beside lookups, until a graceful shutdown; lookups work without it.
    public func run() async throws {
        try await cache.run()
    }

    /// The enabled workflows of some detectors: the global ones, and those of the environment where one is asked for.
    ///
    /// One round trip where everything is cached; one query more for all that is not.
    ///
    /// - Parameters:
    ///   - token: A committed transaction that the answer must not be from before.
    ///   - deadline: When to give up, whatever is being waited for.
    /// - Throws: What the loader throws; `CancellationError` where the caller is cancelled; ``CacheError`` where the deadline
    ///   has passed, or where the policy is to fail.
    public func workflows(
        ofDetectors detectorIDs: some Sequence<Int64>,
        in environment: DetectorEnvironment = .global,
        after token: ReadToken? = nil,
        deadline: ContinuousClock.Instant? = nil
    ) async throws -> WorkflowAnswer {
        let detectorIDs = Set(detectorIDs).sorted()
        let environments: [DetectorEnvironment] = environment == .global ? [.global] : [.global, environment]
        let keys = detectorIDs.flatMap { id in
            environments.map { DetectorWorkflowsKey(detectorID: id, environment: $0) }
        }
        let (trust, answers) = try await cache.answers(for: keys, after: token, deadline: deadline)
        let detectors = detectorIDs.indices.map { index in
            let global = answers[index * environments.count]
            var detector = DetectorWorkflows(
                id: detectorIDs[index],
                global: global.source,
                environment: nil,
                workflows: global.value
            )
            if environments.count > 1 {
                let own = answers[index * environments.count + 1]
                detector.environment = own.source
                // The two sets may be of two moments: a workflow that moved in between stands in both, or in neither.
                let known = Set(global.value.map(\.id))
                detector.workflows += own.value.filter { !known.contains($0.id) }
            }
            detector.workflows.sort { $0.id < $1.id }
            return detector
        }
        return WorkflowAnswer(trust: trust, detectors: detectors)
    }
}

/// What a lookup found.
public struct WorkflowAnswer: Sendable {
    /// How far Redis could be relied on.
    public var trust: Trust
    /// One for each detector that was asked for, by id.
    public var detectors: [DetectorWorkflows]

    /// The workflows of all the detectors, each once, by id.
    public var workflows: [Workflow] {
        var seen: Set<Int64> = []
        return detectors.flatMap(\.workflows).filter { seen.insert($0.id).inserted }.sorted { $0.id < $1.id }
    }
}

/// The workflows of one detector.
public struct DetectorWorkflows: Sendable, Identifiable {
    /// The detector's id.
    public var id: Int64
    /// Where its global workflows came from.
    public var global: AnswerSource
    /// Where those of the environment came from; nil where none was asked for.
    public var environment: AnswerSource?
    /// Its enabled workflows, by id.
    public var workflows: [Workflow]
}
