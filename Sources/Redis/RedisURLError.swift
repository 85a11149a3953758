/// Why a text is not the URL of a Redis server: one line with the thing, its value without a password, and the mend.
public struct RedisURLError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The whole line.
    public let description: String

    init(_ url: String, _ thing: String, mend: String) {
        description = "Redis URL \"\(Self.redacted(url))\": \(thing); \(mend)"
    }

    /// The URL with everything hidden that could be a password, also where it is malformed.
    static func redacted(_ url: String) -> String {
        // By scalars: an "@" with an accent is another character to Swift, and hides as much.
        var rest = Substring(url).unicodeScalars
        var text = Substring.UnicodeScalarView()
        let scheme = rest.prefix { $0.properties.isAlphabetic }
        if rest[scheme.endIndex...].starts(with: "://".unicodeScalars) {
            text += scheme + "://".unicodeScalars
            rest = rest[scheme.endIndex...].dropFirst(3)
        }
        if let at = rest.lastIndex(of: "@") {
            // Without a scheme there is no telling where one would end: hide it as well.
            text += "***".unicodeScalars
            rest = rest[at...]
        } else if rest.first != "[", let colon = rest.firstIndex(of: ":") {
            // What looks like a port may be the password of a URL that lacks its host, or whose @ was escaped.
            let port = rest[colon...].dropFirst().prefix { !"/?#".unicodeScalars.contains($0) }
            if !port.allSatisfy({ ("0"..."9").contains($0) }) {
                text += rest[...colon]
                text += "***".unicodeScalars
                rest = rest[port.endIndex...]
            }
        }
        // Unknown parameters may be somebody's idea of where a password goes.
        if let question = rest.firstIndex(of: "?") {
            text += rest[..<question]
            let parameters = rest[rest.index(after: question)...].split(
                separator: "&",
                omittingEmptySubsequences: false
            )
            let shown = parameters.map { parameter in
                let name = Substring(parameter.prefix { $0 != "=" })
                return RedisConfiguration.isParameter(name) || name.unicodeScalars.count == parameter.count
                    ? String(Substring(parameter)) : "\(name)=***"
            }
            text += ("?" + shown.joined(separator: "&")).unicodeScalars
        } else {
            text += rest
        }
        // One line that a terminal shows and does not obey, whatever was pasted.
        return String(String.UnicodeScalarView(text.map { $0.properties.isWhitespace || $0.isControl ? " " : $0 }))
    }
}

extension Unicode.Scalar {
    /// Whether a terminal may take it for an order, or turn what stands behind it around.
    var isControl: Bool { [.control, .format].contains(properties.generalCategory) }
}
