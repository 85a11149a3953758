// The bodies of the trigger functions, which attach generates for the columns of a table. The function that generates them may
// be called by few, so what it makes is known here by its checksum: a test asks it for each of them.

/// What attach generates.
package enum GeneratedFunction {
    /// The MD5, in hex, of each function's body for columns that are called `"{role}"`.
    package static let checksums: [String: String] = [
        "detector_update": "448b3651c5c68f523111df889b7201dd",
        "detector_delete": "1fcd2723986bb68936d7221b8c6f118b",
        "detector_row": "5cc86427850e782d7b6fec0218ef4e95",
        "detector_truncate": "8804126396caa92c6f2067dd93c42e57",
        "workflow_insert": "f82ba3a9502f0a56febf40819c57f666",
        "workflow_update": "4c14d20f2c423faf8a444e6bc9ceeb35",
        "workflow_delete": "56a9fdcfba6fb04ae4083a28259cb3fb",
        "workflow_row": "95cd3eecf81f54af3840db98f5dbebd0",
        "workflow_truncate": "47a1523c10e41a1fe2253b0135d91d9a",
        "link_insert": "997b67df7c747b2c496b1b18deca5242",
        "link_update": "8253e8dd5a76a7ea89d79d85fa72001e",
        "link_delete": "8121af76ba981457b12f26bab9e70167",
        "link_row": "146dae116a8d2473d3340d34092d055d",
        "link_truncate": "e08f3cec0525e4b5b6a6a8d9ed24ea0a",
        "datasource_insert": "780dfe8b0e041baa39977db5e8988cd2",
        "datasource_update": "f5fb47ae61c9e0c1e51fed7a50ab2f46",
        "datasource_delete": "7892409732c1891f6e7ef18e283604bb",
        "datasource_row": "fa4b0f6cdd965ab9f8db2c6d355ce67d",
        "datasource_truncate": "f8d45aef1c2e76ee75e7011dacd1bb61",
        "datasource_link_insert": "abc489fcce0fe8c3ed50a22ed5e8c331",
        "datasource_link_update": "cca30f98fb3d16b9d3b72ec7c272bf92",
        "datasource_link_delete": "80d4fa46d2ddb42ecd61336c5b527b52",
        "datasource_link_row": "3d9b40a5f65e8a29b9c8cbcdadb7dadb",
        "datasource_link_truncate": "197f9bf9f63545e86ed924fa551e6663",
        "datasource_detector_insert": "3a7e0047340127e55395287c443c3c24",
        "datasource_detector_update": "e3a1cfb9f986f64b7dbd54121e7a588d",
        "datasource_detector_delete": "9a86c941c2d149f51914f910a0da26bc",
        "datasource_detector_row": "5f1280535b11da38633da7e1090ab855",
        "datasource_detector_truncate": "5dd29c729fb5b69a9d05a9891a1e3576",
    ]

    /// A body with its columns called `"{role}"`, whatever they are called.
    ///
    /// Columns stand behind the alias of a row and nowhere else, and nothing else stands there.
    ///
    /// - Parameter columns: The columns by the roles that they play, as SQL text.
    package static func withoutNames(_ source: String, columns: [String: String]) -> String {
        let roles = Dictionary(columns.map { ($0.value, $0.key) }) { first, _ in first }
        var result = ""
        var rest = source[...]
        while let character = rest.first {
            guard isOfWord(character) else {
                result.append(character)
                rest.removeFirst()
                continue
            }
            let word = rest.prefix(while: isOfWord)
            result += word
            rest.removeFirst(word.count)
            guard ["r", "o", "n", "OLD", "NEW"].contains(word), rest.first == "." else { continue }
            let name = identifier(rest.dropFirst())
            guard let role = roles[String(name)] else { continue }
            result += ".\"{\(role)}\""
            rest = rest[name.endIndex...]
        }
        return result
    }

    private static func isOfWord(_ character: Character) -> Bool {
        character.isLetter || character.isNumber || character == "_" || character == "$"
    }

    /// The name that a text begins with.
    private static func identifier(_ text: Substring) -> Substring {
        guard text.first == "\"" else { return text.prefix(while: isOfWord) }
        var end = text.index(after: text.startIndex)
        while let quote = text[end...].firstIndex(of: "\"") {
            end = text.index(after: quote)
            guard end < text.endIndex, text[end] == "\"" else { break }
            end = text.index(after: end)
        }
        return text[..<end]
    }
}
