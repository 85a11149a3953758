import Freshet
import Postgres

/// One statement that loads lists of rows for many keys, and says in the same snapshot which Postgres answers.
///
/// Its result has the identity in column 0 and the place of the row's key, counted from 1, in column 1; there is at least one
/// row, so that the identity always comes, and it has no place where nothing was found.
struct KeyedStatement: Sendable {
    private let text: String
    private let textWithoutIdentity: String

    /// A statement that is made for the expression that tells the identity.
    init(_ text: (_ identity: String) -> String) {
        self.text = text("freshet.identity()")
        textWithoutIdentity = text("NULL::text")
    }

    /// The lists of `keys`, of which `asked` are the ones that the parameters name.
    func load<Key: Hashable & Sendable, Element: Sendable>(
        _ keys: [Key],
        asked: [Key],
        _ parameters: [PostgresParameter],
        over pool: PostgresPool,
        _ element: @escaping @Sendable (borrowing QueryResult, Int) throws -> Element
    ) async throws -> LoadedValues<Key, [Element]> {
        try await pool.withConnection { connection in
            do {
                return try await load(keys, asked: asked, parameters, on: connection, element)
            } catch let error as PostgresError where error.isAboutMissingSchema {
                // Freshet was taken out of this database: the values are right, and are not stored.
                do {
                    let result = try await connection.query(textWithoutIdentity, parameters)
                    return try Self.lists(of: keys, asked: asked, in: result, element)
                } catch let second as PostgresError where second.code == .server {
                    // More than the schema is missing, and the schema tells that best.
                    throw error
                }
            }
        }
    }

    /// The same on a connection of the caller's; without Freshet in the database it fails.
    func load<Key: Hashable & Sendable, Element: Sendable>(
        _ keys: [Key],
        asked: [Key],
        _ parameters: [PostgresParameter],
        on connection: PostgresConnection,
        _ element: @escaping @Sendable (borrowing QueryResult, Int) throws -> Element
    ) async throws -> LoadedValues<Key, [Element]> {
        try Self.lists(of: keys, asked: asked, in: try await connection.query(text, parameters), element)
    }

    private static func lists<Key: Hashable & Sendable, Element: Sendable>(
        of keys: [Key],
        asked: [Key],
        in result: borrowing QueryResult,
        _ element: (borrowing QueryResult, Int) throws -> Element
    ) throws -> LoadedValues<Key, [Element]> {
        var values = Dictionary(keys.map { ($0, [Element]()) }) { first, _ in first }
        var count = 0
        for row in 0..<result.rowCount {
            guard let place = try result.int64(row, 1).map({ Int($0) - 1 }), asked.indices.contains(place) else {
                continue
            }
            values[asked[place], default: []].append(try element(result, row))
            count += 1
        }
        return LoadedValues(
            values: values,
            postgres: result.rowCount > 0 ? result.string(0, 0) : nil,
            rowCount: count
        )
    }
}

extension PostgresError {
    /// Whether a statement failed because Freshet is not installed.
    fileprivate var isAboutMissingSchema: Bool {
        sqlState == .invalidSchemaName || sqlState == .undefinedFunction
    }
}
