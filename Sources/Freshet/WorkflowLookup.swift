public import Keyspace
public import Logging
public import Redis

/// Answers which enabled workflows some detectors trigger, from Redis where it can.
///
/// ```swift
/// let lookup = WorkflowLookup(redis: redis, loader: loader.load, logger: logger)
/// let answer = try await lookup.workflows(ofDetectors: [1, 2], in: .environment(7))
/// for workflow in answer.workflows { … }
/// ```
public struct WorkflowLookup: Sendable {
    /// Loads sets of workflows from Postgres; `PostgresWorkflowLoader.load` of the product `FreshetPostgres` is one.
    public typealias Loader = CacheDefinition<DetectorWorkflowsKey, [Workflow]>.Loader

    private let cache: ReadThroughCache<DetectorWorkflowsKey, [Workflow]>

    /// A lookup on one Redis, which it does not close.
    ///
    /// - Parameters:
    ///   - namespace: As the worker has it.
    ///   - limits: As the worker has them.
    ///   - loader: Loads what is missing. It must read the primary, in a snapshot begun after it was called.
    public init(
        redis: any RedisClient,
        namespace: CacheNamespace = .workflows,
        limits: KeyspaceLimits = KeyspaceLimits(),
        loader: @escaping Loader,
        logger: Logger
    ) {
        let definition = CacheDefinition<DetectorWorkflowsKey, [Workflow]>(
            namespace: namespace,
            entity: { Entity($0.detectorID) },
            variant: { $0.environment.variant },
            encode: WorkflowCodec.encode,
            decode: { try WorkflowCodec.decode($0) },
            load: loader
        )
        cache = ReadThroughCache(definition, redis: redis, limits: limits, logger: logger)
    }

    /// The enabled workflows of some detectors: the global ones, and those of the environment where one is asked for.
    ///
    /// One round trip where everything is cached; one query more for all that is not.
    ///
    /// - Throws: What the loader throws; `CancellationError` where the caller is cancelled.
    public func workflows(
        ofDetectors detectorIDs: some Sequence<Int64>,
        in environment: DetectorEnvironment = .global
    ) async throws -> WorkflowAnswer {
        let detectorIDs = Set(detectorIDs).sorted()
        let environments: Set<DetectorEnvironment> = [.global, environment]
        let keys = detectorIDs.flatMap { id in
            environments.map { DetectorWorkflowsKey(detectorID: id, environment: $0) }
        }
        let found = try await cache.values(for: keys)
        let detectors = detectorIDs.compactMap { id -> DetectorWorkflows? in
            guard let global = found.answers[DetectorWorkflowsKey(detectorID: id, environment: .global)] else {
                return nil
            }
            var detector = DetectorWorkflows(id: id, global: global.source, environment: nil, workflows: global.value)
            if environment != .global,
                let own = found.answers[DetectorWorkflowsKey(detectorID: id, environment: environment)]
            {
                detector.environment = own.source
                // The two sets may be of two moments: a workflow that moved in between stands in both, or in neither.
                let known = Set(global.value.map(\.id))
                detector.workflows += own.value.filter { !known.contains($0.id) }
            }
            detector.workflows.sort { $0.id < $1.id }
            return detector
        }
        return WorkflowAnswer(trust: found.trust, detectors: detectors)
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
