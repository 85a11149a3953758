/// Where the endpoint listens: `HOST:PORT`, an IPv6 address in brackets; port 0 is any that is free.
package struct HTTPAddress: Hashable, Sendable, CustomStringConvertible {
    package var host: String
    package var port: Int

    /// Loopback, at a port that no exporter in the registry of Prometheus has for anything else than telemetry.
    package static let standard = HTTPAddress(host: "127.0.0.1", port: 9_464)

    package init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// - Returns: Nil where the text is no address.
    package init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
            (0...65_535).contains(port), !text[text.index(after: colon)...].hasPrefix("+")
        else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard !host.isEmpty,
            !host.contains(where: { $0.isWhitespace || $0 == "/" || $0 == "@" || $0 == "[" || $0 == "]" })
        else { return nil }
        self.init(host: String(host), port: port)
    }

    package var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
