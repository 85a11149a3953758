/// Takes passwords out of texts that may hold a connection string, whole or in part.
///
/// It errs on the side of hiding too much: an unescaped `@` in a password makes a URI ambiguous, so all between the
/// first `:` of the user part and the last `@` goes.
enum Redaction {
    /// What stands where a password stood.
    static let mark = "***"

    static func redacting(_ text: String) -> String {
        redactingAssignments(redactingUserInfo(text))
    }

    /// `postgresql://user:secret@host` becomes `postgresql://user:***@host`.
    private static func redactingUserInfo(_ text: String) -> String {
        guard let separator = text.firstRange(of: "://"),
            let at = text[separator.upperBound...].lastIndex(of: "@"),
            let colon = text[separator.upperBound..<at].firstIndex(of: ":")
        else { return text }
        return text[...colon] + mark + text[at...]
    }

    /// `password=secret` and `password = 'se cret'` become `password=***`; so does every keyword that ends in
    /// "password".
    private static func redactingAssignments(_ text: String) -> String {
        let keyword = "password"
        var redacted = ""
        var rest = text[...]
        while let found = rest.firstRange(matching: keyword) {
            redacted += rest[..<found.upperBound]
            // In a URI's query the value ends at "&"; elsewhere "&" may be a part of the password.
            let isQuery =
                rest[..<found.lowerBound].last { $0 == "?" || $0 == "&" || $0.isWhitespace }
                .map { !$0.isWhitespace } ?? false
            rest = rest[found.upperBound...]
            var value = rest.drop { $0.isWhitespace }
            guard value.first == "=" else { continue }
            value = value.dropFirst()
            if !isQuery { value = value.drop { $0.isWhitespace } }
            redacted += "=" + mark
            rest = afterValue(value, isQuery: isQuery)
        }
        return redacted + rest
    }

    private static func afterValue(_ text: Substring, isQuery: Bool) -> Substring {
        var rest = text
        let quote: Character? = !isQuery && rest.first == "'" ? rest.removeFirst() : nil
        while let character = rest.first {
            if character == "\\", !isQuery {
                rest = rest.dropFirst(2)
                continue
            }
            if let quote {
                rest.removeFirst()
                if character == quote { return rest }
                continue
            }
            if isQuery ? character == "&" : character.isWhitespace { return rest }
            rest.removeFirst()
        }
        return rest
    }
}

extension Substring {
    /// The first place of a lower-case ASCII word, in any case.
    fileprivate func firstRange(matching word: String) -> Range<Index>? {
        let wanted = Array(word.utf8)
        var start = startIndex
        while start < endIndex {
            var index = start
            var matched = 0
            while matched < wanted.count, index < endIndex, let byte = self[index].asciiValue,
                byte | 0x20 == wanted[matched]
            {
                index = self.index(after: index)
                matched += 1
            }
            if matched == wanted.count { return start..<index }
            start = self.index(after: start)
        }
        return nil
    }
}
