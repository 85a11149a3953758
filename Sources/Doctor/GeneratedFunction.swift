// The bodies of the trigger functions, which attach generates for the columns of a table. The function that generates them may
// be called by few, so what it makes is known here by its checksum: a test asks it for each of them.

/// What attach generates.
package enum GeneratedFunction {
    /// The MD5, in hex, of each function's body for columns that are called `"{role}"`.
    package static let checksums: [String: String] = [
        "detector_update": "0e6b06c91e4b99fac0895d4aaeee4fdf",
        "detector_delete": "7cae143142a0e0b55a6660ec285665a5",
        "detector_row": "aee6a11bbe3048f68c152c0f7c7906bf",
        "detector_truncate": "8804126396caa92c6f2067dd93c42e57",
        "workflow_insert": "c62953489748b7b3b3d2e58a7a94415b",
        "workflow_update": "f728540b7e67a9bcf390751529c83afc",
        "workflow_delete": "b9bca67dd810fb94dc4641befad5a8f3",
        "workflow_row": "08c5459d4ff57f9924a40f611dad62cf",
        "workflow_truncate": "47a1523c10e41a1fe2253b0135d91d9a",
        "link_insert": "95f4cb4a71f3fe6cb1e51f1f5d38fe9e",
        "link_update": "ca6d459213a038e9adb07e5dfa7e7181",
        "link_delete": "4881c583799695a1c437a07741bdb133",
        "link_row": "41c450f31b8d3037eec31f11681ecd47",
        "link_truncate": "e08f3cec0525e4b5b6a6a8d9ed24ea0a",
        "datasource_insert": "f1a2893cf648473f39d53349bf0b595f",
        "datasource_update": "733fa97d415e1ef2013576d650ae05ca",
        "datasource_delete": "ab25cac7b4b28acecc8653e5d6cbd4d8",
        "datasource_row": "82bb6c15b4cd14b9cf4eaccd925d202a",
        "datasource_truncate": "f8d45aef1c2e76ee75e7011dacd1bb61",
        "datasource_link_insert": "cdc54cbf73786baf75e9f1410321c9c3",
        "datasource_link_update": "9608b5866e2a4ca3650c04e03cc57f43",
        "datasource_link_delete": "c9a10d101cdf7a08e73ea3e71e1d8ccf",
        "datasource_link_row": "f75797417ee8ddcf8c406b7c03bf959a",
        "datasource_link_truncate": "197f9bf9f63545e86ed924fa551e6663",
        "datasource_detector_insert": "a151b079b5a9e32083a2a6e86c32192b",
        "datasource_detector_update": "067ac6c9d613d3a1fbd926c8ad304f11",
        "datasource_detector_delete": "e7fe3e559683417c8f075c46d9d6bf5a",
        "datasource_detector_row": "d62d5a0ac17dc482b1ea980d9d1a487c",
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
