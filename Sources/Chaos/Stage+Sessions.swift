import LocalServices
import Postgres
import Redis

/// The way of those who judge, which nothing breaks but what breaks the servers.
extension Stage {
    /// Lends a session with the Postgres that takes writes now, and closes it however the body ends.
    func withPrimary<Value: Sendable>(
        connectTimeLimit: Duration = .seconds(10),
        queryTimeLimit: Duration = .seconds(30),
        _ body: (PostgresConnection) async throws -> Value
    ) async throws -> Value {
        let primary = await postgres.primary
        let configuration = PostgresConfiguration(
            connectionString: primary.connectionString(database: ChaosData.database),
            applicationName: "inspector",
            connectTimeLimit: connectTimeLimit,
            queryTimeLimit: queryTimeLimit,
            requiresReadWrite: true
        )
        let connection = try await PostgresConnection.connect(configuration, logger: .client("inspector"))
        do {
            let value = try await body(connection)
            await connection.close()
            return value
        } catch {
            await connection.close()
            throw error
        }
    }

    /// Lends a connection with the Redis that is the primary now, and closes it however the body ends.
    func withRedis<Value: Sendable>(_ body: (RedisNode) async throws -> Value) async throws -> Value {
        let redis = RedisNode(try RedisConfiguration(url: await self.redis.url), logger: .client("inspector"))
        do {
            let value = try await body(redis)
            await redis.close()
            return value
        } catch {
            await redis.close()
            throw error
        }
    }
}
