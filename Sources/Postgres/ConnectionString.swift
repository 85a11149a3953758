import CLibPQ

// Checks a connection string before libpq sees it, for two reasons. libpq's complaint about a malformed string quotes
// the piece it stumbled over, which may be a piece of the password (`password=two words`, `postgresql://u:p%w@host`);
// so none of it is passed on, only what kind of mistake it is. And libpq takes two kinds of mistake for something
// else: a text that is neither URI nor keywords is a database name to it, and an unescaped `@`, `/` or `:` in a URI's
// password turns the rest of the password into a host name or a port, which would then stand in every message.

/// A connection string that libpq can parse.
struct ConnectionString {
    let text: String

    /// Checks the string; throws `invalidConfiguration`.
    init(_ text: String) throws(PostgresError) {
        self.text = text
        guard text.contains(where: { !$0.isWhitespace }) else { return }
        guard !text.utf8.contains(0) else { throw Self.mistake("holds a NUL character; remove it") }
        // Byte by byte, as libpq reads it: to Swift an accent makes another character of the "=" or "@" before it.
        let hasAssignment = text.utf8.contains(UInt8(ascii: "="))
        if Self.isURI(text) {
            try Self.checkUserInfo(text)
        } else if Array(text.utf8).firstRange(of: Array("://".utf8)) != nil, !hasAssignment {
            throw Self.mistake("has a scheme that is not Postgres'; write postgresql://user@host:port/database")
        } else if !hasAssignment {
            throw Self.mistake(
                "is neither a URI nor keywords; write postgresql://user@host:port/database or "
                    + "\"host=… port=… user=… dbname=…\""
            )
        }
        var complaint: UnsafeMutablePointer<CChar>?
        let options = PQconninfoParse(text, &complaint)
        defer {
            PQconninfoFree(options)
            PQfreemem(complaint)
        }
        guard options == nil else { return }
        throw Self.mistake(Self.explanation(of: complaint.map { String(cString: $0) } ?? ""))
    }

    /// Whether there is anything in it at all.
    var isBlank: Bool {
        text.allSatisfy { $0.isWhitespace }
    }

    private static func isURI(_ text: String) -> Bool {
        text.utf8.starts(with: "postgresql://".utf8) || text.utf8.starts(with: "postgres://".utf8)
    }

    private static func mistake(_ what: String) -> PostgresError {
        PostgresError(.invalidConfiguration, "the Postgres connection string \(what)")
    }

    private static func checkUserInfo(_ text: String) throws(PostgresError) {
        let (at, slash, question) = (UInt8(ascii: "@"), UInt8(ascii: "/"), UInt8(ascii: "?"))
        let bytes = Array(text.utf8)
        guard let scheme = bytes.firstRange(of: Array("://".utf8)) else { return }
        var rest = bytes[scheme.upperBound...]
        // libpq's rule: the user part ends at the first "@" that comes before any "/".
        if let end = rest.firstIndex(where: { $0 == at || $0 == slash }), rest[end] == at {
            rest = rest[end...].dropFirst()
        }
        let hosts = rest.prefix { $0 != question }
        guard !hosts.contains(at) else {
            throw mistake(
                "has an \"@\" in an unexpected place; in a user name or password write @ as %40, / as %2F, : as %3A"
            )
        }
    }

    /// What libpq found wrong, without the pieces of the string that it quotes.
    static func explanation(of complaint: String) -> String {
        let kinds: [(sign: String, explanation: String)] = [
            ("invalid connection option", "has an option that libpq does not know"),
            ("invalid URI query parameter", "has an option after the \"?\" that libpq does not know"),
            ("in connection info string", "has a part without \"=\", or an open quote"),
            ("percent-encoded", "has a \"%\" that is not followed by two hexadecimal digits; write % itself as %25"),
            ("IPv6", "has a host in \"[\" that is no IPv6 address; close it with \"]\""),
            ("unexpected character", "has something else than \":\" or \"/\" after a host in \"[…]\""),
            ("URI query parameter", "has a part after the \"?\" that is not of the form option=value"),
        ]
        let explanation = kinds.first { complaint.firstRange(of: $0.sign) != nil }?.explanation
        guard let explanation else { return "cannot be parsed; write postgresql://user@host:port/database" }
        guard explanation.hasSuffix("does not know") else {
            guard explanation.hasSuffix("an open quote") else { return explanation }
            return explanation + "; put a value that holds spaces in single quotes, and ' and \\ as \\' and \\\\"
        }
        if let quoted = complaint.split(separator: "\"", omittingEmptySubsequences: false).dropFirst().first,
            let known = closestOption(to: String(quoted))
        {
            return explanation + "; did you mean \"\(known)\"?"
        }
        return explanation + "; see the list of connection parameters in the documentation of libpq"
    }

    /// The option a person may have meant.
    ///
    /// Naming it gives nothing away, unlike repeating what was written.
    private static func closestOption(to name: String) -> String? {
        // What is that long is no slip of the pen, and comparing it takes its length squared.
        guard name.utf8.count <= 64, let options = PQconndefaults() else { return nil }
        defer { PQconninfoFree(options) }
        var best: (name: String, distance: Int)?
        var option = options
        while let keyword = option.pointee.keyword {
            let candidate = String(cString: keyword)
            let distance = editDistance(Array(name.utf8), Array(candidate.utf8))
            if distance < best?.distance ?? 3 { best = (candidate, distance) }
            option += 1
        }
        return best?.name
    }

    private static func editDistance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        var previous = Array(0...right.count)
        for (row, byte) in left.enumerated() {
            var current = [row + 1]
            for (column, other) in right.enumerated() {
                let replaced = previous[column] + (byte == other ? 0 : 1)
                current.append(min(replaced, previous[column + 1] + 1, current[column] + 1))
            }
            previous = current
        }
        return previous[right.count]
    }
}
