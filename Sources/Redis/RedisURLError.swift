/// Why a text is not the URL of a Redis server: one line with the thing, its value without a password, and the mend.
public struct RedisURLError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The whole line.
    public let description: String

    init(_ url: String, _ thing: String, mend: String) {
        description = "Redis URL \"\(Self.redacted(url))\": \(thing); \(mend)"
    }

    /// The URL with everything hidden that could be a password, also where it is malformed.
    static func redacted(_ url: String) -> String {
        var rest = Substring(url)
        var text = ""
        if let colon = rest.firstRange(of: "://") {
            text += rest[..<colon.upperBound]
            rest = rest[colon.upperBound...]
        }
        if let at = rest.lastIndex(of: "@") {
            // Without the slashes there is no telling where a scheme ends: hide it as well.
            text += "***"
            rest = rest[at...]
        } else if rest.first != "[", let colon = rest.firstIndex(of: ":") {
            // What looks like a port may be the password of a URL that lacks its host, or whose @ was escaped.
            let port = rest[colon...].dropFirst().prefix { !"/?#".contains($0) }
            if !port.utf8.allSatisfy({ (0x30...0x39).contains($0) }) {
                text += rest[...colon] + "***"
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
                let name = parameter.prefix { $0 != "=" }
                return RedisConfiguration.isParameter(name) || name.count == parameter.count
                    ? String(parameter) : "\(name)=***"
            }
            text += "?" + shown.joined(separator: "&")
        } else {
            text += rest
        }
        // One line, whatever was pasted.
        return String(String.UnicodeScalarView(text.unicodeScalars.map { $0.properties.isWhitespace ? " " : $0 }))
    }
}
