package import Postgres

/// What a worker says to Postgres in a pass, as text: for a program that does the same without being one.
package struct PassStatements: Sendable {
    /// What its session begins with.
    package let sessionSettings = Journal.sessionSettings
    /// Its claim, for the tables that are attached now; see ``Journal/claim(_:facts:)`` for the parameters, and for what it returns.
    package let claim: String

    /// - Throws: `PostgresError`.
    package init(on connection: PostgresConnection) async throws {
        claim = Journal.claim(facts: try AttachedNames.byCache(try await connection.query(Journal.attachedNames)))
    }
}
