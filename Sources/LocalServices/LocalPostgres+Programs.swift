extension LocalPostgres {
    /// The path of a program that comes with the server, such as `pgbench`.
    ///
    /// - Throws: ``LocalServiceError`` where no server is installed.
    public static func program(_ name: String) async throws -> String {
        try await PostgresInstallation.find().program(name)
    }
}
