// The functions that the migrations of this program create, read from their text: the body that each ought to have, and the
// statement that gives it back, because a migration that was applied is not applied again.

import Migrations

/// A function as a migration creates it.
package struct CarriedFunction: Hashable, Sendable {
    /// As SQL text, with the types of its arguments: `freshet.wake()`.
    package var signature: String
    /// The body, as `pg_proc.prosrc` has it.
    package var source: String
    /// What stands between name and body, on one line.
    package var declaration: String

    /// The statement that creates or replaces it, on one line.
    package var statement: String {
        "CREATE OR REPLACE FUNCTION \(declaration) AS \(Self.literal(source));"
    }

    /// Those of all migrations; of those with one signature, the last.
    package static let all: [String: CarriedFunction] = MigrationCatalog.migrations.reduce(into: [:]) {
        functions,
        migration in
        for function in read(migration.text) { functions[function.signature] = function }
    }

    private static let quote = "$function$"

    /// The functions that a script creates.
    static func read(_ script: String) -> [CarriedFunction] {
        // Code, body, code, body, …; a body may speak of functions that are created, the code before it ends with one that is.
        let pieces = script.split(separator: quote, omittingEmptySubsequences: false)
        return stride(from: 0, to: pieces.count - 1, by: 2).compactMap { index in
            guard let start = pieces[index].ranges(of: "\nCREATE FUNCTION ").last else { return nil }
            let words = pieces[index][start.upperBound...].split(whereSeparator: \.isWhitespace)
            // The last word is AS.
            let declaration = words.dropLast().joined(separator: " ")
            guard let open = declaration.firstIndex(of: "("), let close = declaration.firstIndex(of: ")") else {
                return nil
            }
            let types = declaration[declaration.index(after: open)..<close].split(separator: ",").map { parameter in
                parameter.split(separator: " ").dropFirst().prefix { $0 != "DEFAULT" }.joined(separator: " ")
            }
            return CarriedFunction(
                signature: "\(declaration[..<open])(\(types.joined(separator: ", ")))",
                source: String(pieces[index + 1]),
                declaration: declaration
            )
        }
    }

    package init(signature: String, source: String, declaration: String) {
        self.signature = signature
        self.source = source
        self.declaration = declaration
    }

    /// The text as SQL takes it, on one line.
    private static func literal(_ text: String) -> String {
        "E'"
            + text.replacing("\\", with: "\\\\").replacing("'", with: "\\'").replacing("\n", with: "\\n") + "'"
    }
}
