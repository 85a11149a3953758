import Postgres

/// Runs `body` on a connection of its own, which is closed afterwards.
///
/// - Parameter readWrite: Whether it must be a primary.
func withPostgres<Result: Sendable>(
    _ settings: Settings,
    readWrite: Bool = false,
    _ body: (PostgresConnection) async throws -> Result
) async throws -> Result {
    var configuration = settings.postgres
    configuration.requiresReadWrite = readWrite
    let connection = try await PostgresConnection.connect(configuration, logger: settings.logger())
    do {
        let result = try await body(connection)
        await connection.close()
        return result
    } catch {
        await connection.close()
        throw error
    }
}
