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
        let definition = Self.definition(namespace: namespace, limits: limits, loader: loader)
        cache = try ReadThroughCache(definition, redis: redis, options: options, logger: logger)
    }

    /// The cache that is looked up in.
    package static func definition(
        namespace: CacheNamespace,
        limits: KeyspaceLimits,
        loader: @escaping Loader
    ) -> CacheDefinition<DetectorWorkflowsKey, [Workflow]> {
        var definition = CacheDefinition(
            namespace: namespace,
            entity: { Entity($0.detectorID) },
            variant: { $0.environment.variant },
            encode: WorkflowCodec.encode,
            decode: { try WorkflowCodec.decode($0) },
            limits: limits,
            load: loader
        )
        // By the detector alone, so that its two sets are looked for under one lock. The factor is 2^64 over the golden ratio
        // (D. Knuth, "The Art of Computer Programming", vol. 3, 6.4): ids that are all multiples of something are spread as well.
        definition.spread = { UInt(bitPattern: Int($0.detectorID)) &* 0x9E37_79B9_7F4A_7C15 }
        return definition
    }

    /// Runs what goes on beside lookups, until a graceful shutdown; lookups work without it.
    public func run() async throws {
        try await cache.run()
    }

    /// How many values are kept in memory.
    package var nearCount: Int { cache.nearCount }

    /// Keeps the near cache right until the task is cancelled.
    package func follow() async {
        await cache.follow()
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
        let detectorIDs = Self.ascending(detectorIDs)
        let setCount = environment == .global ? 1 : 2
        var keys: [DetectorWorkflowsKey] = []
        keys.reserveCapacity(setCount * detectorIDs.count)
        for id in detectorIDs {
            keys.append(DetectorWorkflowsKey(detectorID: id, environment: .global))
            if setCount > 1 { keys.append(DetectorWorkflowsKey(detectorID: id, environment: environment)) }
        }
        let (trust, answers) = try await cache.answers(for: keys, after: token, deadline: deadline)
        let detectors = detectorIDs.indices.map { index in
            DetectorWorkflows(
                id: detectorIDs[index],
                global: answers[index * setCount],
                own: setCount > 1 ? answers[index * setCount + 1] : nil
            )
        }
        return WorkflowAnswer(trust: trust, detectors: detectors)
    }

    /// Some ids in their order, each once.
    private static func ascending(_ ids: some Sequence<Int64>) -> [Int64] {
        let ids = Array(ids)
        // As callers who got them from a query with ORDER BY have them.
        let isAscending = zip(ids, ids.dropFirst()).allSatisfy { $0 < $1 }
        return isAscending ? ids : Set(ids).sorted()
    }

    /// The enabled workflows of one detector: the global ones, and those of the environment where one is asked for.
    ///
    /// The same as for several, and the quickest way to an answer from memory.
    ///
    /// - Parameters:
    ///   - token: A committed transaction that the answer must not be from before.
    ///   - deadline: When to give up, whatever is being waited for.
    /// - Throws: What the loader throws; `CancellationError` where the caller is cancelled; ``CacheError`` where the deadline
    ///   has passed, or where the policy is to fail.
    public func workflows(
        ofDetector detectorID: Int64,
        in environment: DetectorEnvironment = .global,
        after token: ReadToken? = nil,
        deadline: ContinuousClock.Instant? = nil
    ) async throws -> WorkflowAnswer {
        let key = DetectorWorkflowsKey(detectorID: detectorID, environment: .global)
        let own = DetectorWorkflowsKey(detectorID: detectorID, environment: environment)
        if token == nil, let (global, other) = cache.nearValues(of: key, and: environment == .global ? nil : own) {
            let detector = DetectorWorkflows(
                id: detectorID,
                global: CacheAnswer(value: global, source: .near),
                own: other.map { CacheAnswer(value: $0, source: .near) }
            )
            return WorkflowAnswer(trust: .healthy, detectors: [detector])
        }
        return try await workflows(
            ofDetectors: CollectionOfOne(detectorID),
            in: environment,
            after: token,
            deadline: deadline
        )
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
    private let globalWorkflows: [Workflow]
    private let environmentWorkflows: [Workflow]

    /// Its enabled workflows, by id, each once; put together each time.
    public var workflows: [Workflow] { Self.merged(globalWorkflows, environmentWorkflows) }

    /// What was found of one detector, in one set or in two.
    init(id: Int64, global: CacheAnswer<[Workflow]>, own: CacheAnswer<[Workflow]>?) {
        self.id = id
        self.global = global.source
        environment = own?.source
        globalWorkflows = global.value
        environmentWorkflows = own?.value ?? []
    }
}

extension DetectorWorkflows {
    /// Each set by itself, with where it came from, for those who hold it against the truth.
    ///
    /// - Parameter environment: What was asked for.
    package func sets(in environment: DetectorEnvironment) -> [(DetectorWorkflowsKey, CacheAnswer<[Workflow]>)] {
        var sets = [
            (
                DetectorWorkflowsKey(detectorID: id, environment: .global),
                CacheAnswer(value: globalWorkflows, source: global)
            )
        ]
        if let source = self.environment {
            let key = DetectorWorkflowsKey(detectorID: id, environment: environment)
            sets.append((key, CacheAnswer(value: environmentWorkflows, source: source)))
        }
        return sets
    }

    /// The workflows of two sets, by id, each once.
    ///
    /// The two sets may be of two moments: a workflow that moved in between stands in both, or in neither. Both are in order
    /// already where the loader keeps one, so that nothing is allocated but the outcome.
    static func merged(_ first: [Workflow], _ second: [Workflow]) -> [Workflow] {
        guard isAscending(first), isAscending(second) else {
            let known = Set(first.map(\.id))
            return (first + second.filter { !known.contains($0.id) }).sorted { $0.id < $1.id }
        }
        if second.isEmpty { return first }
        if first.isEmpty { return second }
        var merged: [Workflow] = []
        merged.reserveCapacity(first.count + second.count)
        var (left, right) = (0, 0)
        while left < first.count, right < second.count {
            if first[left].id <= second[right].id {
                if first[left].id == second[right].id { right += 1 }
                merged.append(first[left])
                left += 1
            } else {
                merged.append(second[right])
                right += 1
            }
        }
        merged.append(contentsOf: first[left...])
        merged.append(contentsOf: second[right...])
        return merged
    }

    private static func isAscending(_ workflows: [Workflow]) -> Bool {
        for index in workflows.indices.dropFirst() where workflows[index - 1].id >= workflows[index].id { return false }
        return true
    }
}
