import Glibc

/// The datagram socket of a service manager, as sd_notify(3) describes it.
struct NotifySocket: Sendable {
    /// What NOTIFY_SOCKET says: a path, or `@` and an abstract name.
    let name: String
    private let address: sockaddr_un
    private let length: socklen_t

    /// - Throws: ``SystemdError`` where the name is none of a local socket.
    init(_ name: String) throws(SystemdError) {
        var bytes = Array(name.utf8)
        let isAbstract = bytes.first == UInt8(ascii: "@")
        guard isAbstract || bytes.first == UInt8(ascii: "/"), bytes.count > 1 else {
            throw SystemdError("NOTIFY_SOCKET \"\(name)\" is neither a path nor @ and a name")
        }
        // An abstract name begins with a zero byte and is as long as it is; a path ends with one.
        if isAbstract { bytes[0] = 0 } else { bytes.append(0) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard bytes.count <= MemoryLayout.size(ofValue: address.sun_path) else {
            throw SystemdError("NOTIFY_SOCKET \"\(name)\" is longer than the name of a socket can be")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        self.name = name
        self.address = address
        length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count)
    }

    /// Sends one datagram, without waiting: a manager that does not read must not hold up who tells it something.
    ///
    /// - Throws: ``SystemdError``; the same may be sent again later.
    func send(_ text: String) throws(SystemdError) {
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw SystemdError("socket", errno) }
        defer { close(descriptor) }
        let bytes = Array(text.utf8)
        let flags = Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL)
        let sent = withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(descriptor, bytes, bytes.count, flags, $0, length)
            }
        }
        guard sent == bytes.count else { throw SystemdError("sending to NOTIFY_SOCKET \"\(name)\"", errno) }
    }
}
