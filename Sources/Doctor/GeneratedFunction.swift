// The bodies of the trigger functions, which attach generates for the columns of a table. The function that generates them may
// be called by few, so what it makes is known here by its checksum: a test asks it for each of them.

/// What attach generates.
package enum GeneratedFunction {
    /// The MD5, in hex, of each function's body for columns that are called `"{role}"`.
    package static let checksums: [String: String] = [
        "detector_update": "9b7807ee877e5bdc803ab32a22b70795",
        "detector_delete": "da90bf43495be940ab0c5f9209c0e37a",
        "detector_row": "2b00ffac7eecc5555a31413dcd8f0fb7",
        "detector_truncate": "8804126396caa92c6f2067dd93c42e57",
        "workflow_insert": "1afa96d49b9714472640f2a3684aa297",
        "workflow_update": "ad29e10ee8987643c907afac1e1dd1bd",
        "workflow_delete": "ab04bdf99fd8d0a344355644a93e3e49",
        "workflow_row": "0278e9b87da6682efb52ebf54f1f397b",
        "workflow_truncate": "47a1523c10e41a1fe2253b0135d91d9a",
        "link_insert": "6c27b3812b175d5b41b3c6d49685a6bc",
        "link_update": "dc5bfb02ddfaa88b38a83a95e8405c24",
        "link_delete": "1d0feab7f2f0494c92a4b05ef5d59be3",
        "link_row": "c7c3611342525e016b7dccea1ae27778",
        "link_truncate": "e08f3cec0525e4b5b6a6a8d9ed24ea0a",
        "datasource_insert": "f9dae5dfd1d751112e7b11a79f703dbe",
        "datasource_update": "0c0e9848883a7c7e7af936732cc2e207",
        "datasource_delete": "1662fb73152c425d0b0d49ee4f78fb16",
        "datasource_row": "5ec4142f86834e18c0737778303907d8",
        "datasource_truncate": "f8d45aef1c2e76ee75e7011dacd1bb61",
        "datasource_link_insert": "cf280dadc5bcced7dd335aae65f13124",
        "datasource_link_update": "024d46e8a58089d52cd39cfbcb1f777c",
        "datasource_link_delete": "9c9d0203fdd59af49d7f99b8bfb3a037",
        "datasource_link_row": "eaf389b8c459ae60303602ea1f4bbff6",
        "datasource_link_truncate": "197f9bf9f63545e86ed924fa551e6663",
        "datasource_detector_insert": "71bf2a6754508d4bf20ec9568677f0d3",
        "datasource_detector_update": "f46f06719872a6d8bb83894a9d8a8481",
        "datasource_detector_delete": "17f2d9371c03df44011004ce788f598c",
        "datasource_detector_row": "7b6ed2caca6325f5f03f33e4eca1e048",
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
