/// The name of a table as a person writes it: `name`, `schema.name`, each part in double quotes where SQL wants it.
struct TableName: Hashable, Sendable {
    /// The name as SQL text, every part quoted.
    let sql: String

    /// Reads a name by SQL's rules, where what is not quoted is folded to lower case; nil for anything else.
    init?(_ text: String) {
        var parts: [String] = []
        var rest = Substring(text)
        while true {
            guard let part = Self.takePart(&rest) else { return nil }
            parts.append(part)
            guard !rest.isEmpty else { break }
            guard rest.removeFirst() == "." else { return nil }
        }
        guard parts.count <= 2 else { return nil }
        sql = parts.map { "\"\($0.replacing("\"", with: "\"\""))\"" }.joined(separator: ".")
    }

    private static func takePart(_ rest: inout Substring) -> String? {
        guard rest.first == "\"" else {
            let part = rest.prefix { $0 == "_" || $0 == "$" || $0.isLetter || $0.isNumber }
            guard let first = part.first, first == "_" || first.isLetter else { return nil }
            rest = rest[part.endIndex...]
            return part.lowercased()
        }
        rest.removeFirst()
        var part = ""
        while let character = rest.popFirst() {
            if character == "\"" {
                guard rest.first == "\"" else { return part.isEmpty ? nil : part }
                rest.removeFirst()
            }
            part.append(character)
        }
        return nil
    }
}
