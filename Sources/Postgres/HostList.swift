import CLibPQ

/// The hosts that a connection tries one after another.
///
/// Needed for one thing only: libpq's own time limit for each host works in its blocking mode alone. In the mode used
/// here the first host that swallows packets would eat the time of all others, so the attempt is begun anew with the
/// hosts behind it.
struct HostList: Equatable {
    struct Host: Equatable {
        var name: String
        var address: String
        var port: String
    }

    private(set) var hosts: [Host]

    init(hosts: [Host]) {
        self.hosts = hosts
    }

    /// Puts libpq's three comma-separated options together; a single port is every host's.
    init(name: String, address: String, port: String) {
        func parts(_ text: String) -> [String] {
            text.isEmpty ? [] : text.split(separator: ",", omittingEmptySubsequences: false).map { String($0) }
        }
        let (names, addresses, ports) = (parts(name), parts(address), parts(port))
        hosts = (0..<max(names.count, addresses.count, 1)).map { index in
            Host(
                name: names.indices.contains(index) ? names[index] : "",
                address: addresses.indices.contains(index) ? addresses[index] : "",
                port: ports.count == 1 ? ports[0] : ports.indices.contains(index) ? ports[index] : ""
            )
        }
    }

    /// Where the host that libpq says it is trying stands, looked for from a place onwards.
    func index(ofHost name: String, port: String, from start: Int) -> Int? {
        hosts.indices.dropFirst(start).first { index in
            let host = hosts[index]
            let isNamed = host.name == name || (host.name.isEmpty && (host.address == name || host.address.isEmpty))
            return isNamed && (host.port == port || host.port.isEmpty)
        }
    }

    /// The hosts behind a place, or nil where there is none.
    func after(_ index: Int) -> HostList? {
        let rest = hosts.dropFirst(index + 1)
        return rest.isEmpty ? nil : HostList(hosts: Array(rest))
    }

    /// The options that replace the ones of the connection string.
    var options: [(keyword: String, value: String)] {
        [
            ("host", hosts.map(\.name).joined(separator: ",")),
            ("hostaddr", hosts.allSatisfy(\.address.isEmpty) ? "" : hosts.map(\.address).joined(separator: ",")),
            ("port", hosts.map(\.port).joined(separator: ",")),
        ]
    }
}
