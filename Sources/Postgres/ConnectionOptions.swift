import CLibPQ

/// What libpq is told: our defaults, the connection string over them, and over both what we insist on.
struct ConnectionOptions {
    /// Keywords and values in libpq's order of precedence: later ones win.
    let list: [(keyword: String, value: String)]

    /// - Parameters:
    ///   - string: The connection string, checked.
    ///   - configuration: The rest.
    ///   - hosts: The hosts to try instead of those in the string.
    init(_ string: ConnectionString, _ configuration: PostgresConfiguration, hosts: HostList?) {
        var list: [(keyword: String, value: String)] = [
            ("fallback_application_name", configuration.applicationName),
            ("keepalives", "1"),
            ("keepalives_idle", "10"),
            ("keepalives_interval", "5"),
            ("keepalives_count", "3"),
            ("tcp_user_timeout", "15000"),
        ]
        // libpq expands a connection string that is given as the database's name, at this place of the list.
        if !string.isBlank { list.append(("dbname", string.text)) }
        if let hosts { list += hosts.options }
        if configuration.requiresReadWrite { list.append(("target_session_attrs", "read-write")) }
        list.append(("client_encoding", "UTF8"))
        self.list = list
    }

    /// Lends the two lists as libpq wants them, NULL at the end.
    ///
    /// The pointers must not escape because the texts they point to are freed on return; libpq copies what it needs.
    func withKeywordsAndValues<R>(
        _ body: (UnsafePointer<UnsafePointer<CChar>?>, UnsafePointer<UnsafePointer<CChar>?>) -> R
    ) -> R {
        var characters: [CChar] = []
        var offsets: [(keyword: Int, value: Int)] = []
        for (keyword, value) in list {
            offsets.append((characters.count, characters.count + keyword.utf8.count + 1))
            for text in [keyword, value] {
                characters.append(contentsOf: text.utf8.lazy.map { CChar(bitPattern: $0) })
                characters.append(0)
            }
        }
        return characters.withUnsafeBufferPointer { characters in
            let keywords = offsets.map { characters.baseAddress?.advanced(by: $0.keyword) } + [nil]
            let values = offsets.map { characters.baseAddress?.advanced(by: $0.value) } + [nil]
            return keywords.withUnsafeBufferPointer { keywords in
                values.withUnsafeBufferPointer { values in
                    guard let keywords = keywords.baseAddress, let values = values.baseAddress else {
                        preconditionFailure("an array with an element has an address")
                    }
                    return body(keywords, values)
                }
            }
        }
    }

    /// The values that libpq has settled on, of the options named.
    static func values(of connection: OpaquePointer, _ keywords: Set<String>) -> [String: String] {
        guard let options = PQconninfo(connection) else { return [:] }
        defer { PQconninfoFree(options) }
        var values: [String: String] = [:]
        var option = options
        while let keyword = option.pointee.keyword {
            let name = String(cString: keyword)
            if keywords.contains(name), let value = option.pointee.val { values[name] = String(cString: value) }
            option += 1
        }
        return values
    }

    /// How long each host may take: `connect_timeout` where it is given, else an equal share of what is left.
    static func timeLimitPerHost(
        of connection: OpaquePointer,
        hosts: HostList,
        until deadline: ContinuousClock.Instant
    ) -> Duration {
        let given = values(of: connection, ["connect_timeout"])["connect_timeout"].flatMap { Int($0) } ?? 0
        // libpq takes no less than two seconds.
        if given > 0 { return .seconds(max(given, 2)) }
        return (deadline - .now) / hosts.hosts.count
    }
}
