import NIOCore

// The URLs, and nothing else that some client somewhere accepts:
//
//     redis://[[user]:password@]host[:port][/database]
//     rediss://…                  the same over TLS; ?cafile=, ?certfile=, ?keyfile=
//     unix://[[user]:password@]/path[?db=database]
//
// Strictness is kindness here: a password with an unescaped `/`, `?` or `#` splits the URL in the wrong place, and what
// is then called a bad port would be half a password. So an `@` behind the authority is its own error and nothing of the
// URL's parts is quoted there; every message shows the URL with user, password and unknown parameters hidden.

extension RedisConfiguration {
    /// The server of a URL: `redis://[[user]:password@]host[:port][/database]`, `rediss://…` or `unix:///path[?db=N]`.
    ///
    /// User, password, path and parameters are percent-decoded. `rediss` verifies the server's certificate against the
    /// system's authorities or those of `?cafile=/path.pem`; `?certfile=` and `?keyfile=` present a client certificate.
    ///
    /// - Throws: ``RedisURLError``, whose description is one line without the password.
    public init(url: String) throws(RedisURLError) {
        self = try URLParser(url: url).configuration()
    }

    static func isParameter(_ name: some StringProtocol) -> Bool {
        ["db", "cafile", "certfile", "keyfile"].contains(String(name))
    }
}

private struct URLParser {
    let url: String

    private static let forms = "write redis://[user:password@]host[:port][/database], rediss://… or unix:///path[?db=N]"
    private static let escapes = "in user and password, write @ as %40, / as %2F, ? as %3F, # as %23 and % as %25"

    private static func isDelimiterWithMark(_ character: Character) -> Bool {
        guard character.unicodeScalars.count > 1, let first = character.unicodeScalars.first else { return false }
        return "/?#@:[]&=%".unicodeScalars.contains(first)
    }

    func configuration() throws(RedisURLError) -> RedisConfiguration {
        guard !url.isEmpty else {
            throw error("it is empty", Self.forms)
        }
        guard !url.unicodeScalars.contains(where: { $0.properties.isWhitespace || $0.isControl }) else {
            throw error("it contains white space", "remove it, or write it as %20")
        }
        // To Swift that is one character, and no delimiter; who wrote it means two.
        guard !url.contains(where: Self.isDelimiterWithMark) else {
            throw error("a combining character stands behind one of / ? # @ : [ ] & = %", "percent-encode it")
        }
        guard let separator = url.firstRange(of: "://") else {
            throw error("it has no scheme", Self.forms)
        }
        let scheme = url[..<separator.lowerBound].lowercased()
        guard ["redis", "rediss", "unix"].contains(scheme) else {
            throw error("unknown scheme", Self.forms)
        }
        let rest = url[separator.upperBound...]
        let end = rest.firstIndex { "/?#".contains($0) } ?? rest.endIndex
        let authority = rest[..<end]
        let tail = rest[end...]
        let question = tail.firstIndex(of: "?") ?? tail.endIndex
        let path = tail[..<question]
        let mayHaveAt = scheme == "unix" && (authority.isEmpty || authority.contains("@"))
        guard !tail[question...].contains("@"), mayHaveAt || !path.contains("@") else {
            throw error("an @ stands where none can be", Self.escapes)
        }
        guard !tail.contains("#") else {
            throw error("there is a #", Self.escapes)
        }
        let parameters = try parameters(tail[question...].dropFirst(), scheme: scheme)

        let at = authority.lastIndex(of: "@")
        let credentials = try credentials(at.map { authority[..<$0] })
        let address = at.map { authority[authority.index(after: $0)...] } ?? authority

        var configuration: RedisConfiguration
        if scheme == "unix" {
            configuration = RedisConfiguration(endpoint: try unixEndpoint(address: address, path: path))
        } else {
            configuration = RedisConfiguration(endpoint: try tcpEndpoint(address))
            if path.count > 1 {
                configuration.database = try database(path.dropFirst())
                guard parameters["db"] == nil else {
                    throw error("the database is given twice", "keep /N or ?db=N")
                }
            }
        }
        if let number = parameters["db"] {
            configuration.database = try database(number[...])
        }
        configuration.username = credentials.user
        configuration.password = credentials.password
        if scheme == "rediss" {
            guard (parameters["certfile"] == nil) == (parameters["keyfile"] == nil) else {
                throw error("certfile and keyfile belong together", "give both or neither")
            }
            configuration.tls = RedisTLS(
                authorityFile: parameters["cafile"],
                certificateFile: parameters["certfile"],
                privateKeyFile: parameters["keyfile"]
            )
        }
        return configuration
    }

    private func credentials(_ text: Substring?) throws(RedisURLError) -> (user: String?, password: String?) {
        guard let text else { return (nil, nil) }
        guard let colon = text.firstIndex(of: ":") else {
            throw error(
                "what stands before the @ has no colon",
                "write user:password@host, or :password@host for the default user"
            )
        }
        let user = try decoded(text[..<colon], "the user", secret: true)
        let password = try decoded(text[text.index(after: colon)...], "the password", secret: true)
        guard !password.isEmpty else {
            throw error("the password is empty", "write user:password@host, or leave out the @ and what is before it")
        }
        return (user.isEmpty ? nil : user, password)
    }

    private func tcpEndpoint(_ address: Substring) throws(RedisURLError) -> RedisConfiguration.Endpoint {
        let host: String
        let port: Substring?
        if address.first == "[" {
            guard let bracket = address.firstIndex(of: "]") else {
                throw error("the [ of an IPv6 address is not closed", "write [address]:port")
            }
            host = String(address[address.index(after: address.startIndex)..<bracket])
            guard host.contains(":"), (try? SocketAddress(ipAddress: host, port: 0)) != nil else {
                throw error(
                    "\"\(host)\" is not an IPv6 address",
                    "write one in the brackets, or a host without brackets"
                )
            }
            let behind = address[address.index(after: bracket)...]
            guard behind.isEmpty || behind.first == ":" else {
                throw error("\"\(behind)\" stands behind the ]", "write [address]:port")
            }
            port = behind.isEmpty ? nil : behind.dropFirst()
        } else {
            let parts = address.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count < 3 else {
                throw error("the host has several colons", "write an IPv6 address in brackets: [::1]:6379")
            }
            host = try decoded(parts.first ?? "", "the host")
            port = parts.count > 1 ? parts[1] : nil
        }
        guard !host.isEmpty else {
            throw error("it names no host", "write redis://127.0.0.1:6379, or unix:///path for a socket")
        }
        guard let port else { return .tcp(host: host, port: 6379) }
        let mend = "use a number from 1 to 65535, or leave it out for 6379"
        guard let number = decimal(port) else {
            // Not quoted, because a URL that lacks its host has the password here.
            throw error("the port is not a number", mend)
        }
        guard (1...65535).contains(number) else {
            throw error("the port is \(number)", mend)
        }
        return .tcp(host: host, port: number)
    }

    private func unixEndpoint(
        address: Substring,
        path: Substring
    ) throws(RedisURLError) -> RedisConfiguration.Endpoint {
        guard address.isEmpty else {
            throw error(
                "a socket has no host, but something stands before its path",
                "write unix:///path, with three slashes"
            )
        }
        let decodedPath = try decoded(path, "the path")
        guard decodedPath.count > 1 else {
            throw error("it names no socket", "write unix:///path[?db=N]")
        }
        guard (try? SocketAddress(unixDomainSocketPath: decodedPath)) != nil else {
            throw error(
                "the path has \(decodedPath.utf8.count) bytes",
                "the system allows no socket path that long: use a shorter one"
            )
        }
        return .unix(path: decodedPath)
    }

    private func parameters(_ text: Substring, scheme: String) throws(RedisURLError) -> [String: String] {
        let known = scheme == "rediss" ? ["db", "cafile", "certfile", "keyfile"] : ["db"]
        var values: [String: String] = [:]
        for part in text.split(separator: "&") {
            let name = part.prefix { $0 != "=" }
            guard known.contains(String(name)) else {
                let mend =
                    RedisConfiguration.isParameter(name)
                    ? "it belongs to rediss://" : "known are \(known.joined(separator: ", "))"
                throw error("unknown parameter \"\(name)\"", mend)
            }
            let value = try decoded(part.dropFirst(name.count + 1), "the parameter \(name)")
            guard !value.isEmpty else {
                throw error("the parameter \(name) is empty", "give it a value, or leave it out")
            }
            guard values.updateValue(value, forKey: String(name)) == nil else {
                throw error("the parameter \(name) is given twice", "keep one")
            }
        }
        return values
    }

    private func database(_ text: Substring) throws(RedisURLError) -> Int {
        guard let number = decimal(text), number <= Int(Int32.max) else {
            throw error("the database is \"\(text)\"", "use a number such as 0")
        }
        return number
    }

    /// A number of digits alone: `Int` would take a sign as well.
    private func decimal(_ text: Substring) -> Int? {
        !text.isEmpty && text.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int(text) : nil
    }

    private func decoded(_ text: Substring, _ thing: String, secret: Bool = false) throws(RedisURLError) -> String {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            let digits = rest.prefix(2)
            guard digits.count == 2, let value = UInt8(String(Substring(digits)), radix: 16), digits.first != 0x2B
            else {
                throw error("\(thing) has a % without two hexadecimal digits", "write a percent sign as %25")
            }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        guard let string = String(validating: bytes, as: UTF8.self), !bytes.contains(0) else {
            throw error("\(thing) is not text", "percent-encode the bytes of UTF-8, without zero bytes")
        }
        return string
    }

    private func error(_ thing: String, _ mend: String) -> RedisURLError {
        RedisURLError(url, thing, mend: mend)
    }
}
