import Freshet
import FreshetPostgres
import Logging
import Postgres
import Redis

func notifyableWorkflows(ofDetector detectorID: Int64, environmentID: Int64) async throws -> [Workflow] {
    let logger = Logger(label: "my-service")

    // Once in the life of the process:
    let redis = try RedisNode(RedisConfiguration(url: "redis://127.0.0.1:6379"), logger: logger)
    let pool = PostgresPool(
        configuration: PostgresConfiguration(connectionString: "dbname=app"),
        maximumConnections: 4,
        logger: logger
    )
    let loader = PostgresWorkflowLoader(pool: pool)
    let lookup = try WorkflowLookup(redis: redis, loader: loader.load, logger: logger)

    // As often as you like, from as many tasks as you like:
    let answer = try await lookup.workflows(ofDetectors: [detectorID], in: .environment(environmentID))
    return answer.workflows
}
