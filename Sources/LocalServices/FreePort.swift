import Glibc

/// A TCP port on 127.0.0.1 that nobody listens on.
///
/// Nothing can reserve a port for another process, so the caller tries another one when the server reports it taken. The
/// range lies below the one that the kernel hands out to outgoing connections: a server that is stopped and started
/// again, which must keep its port, does not lose it to a client's connection in between.
enum FreePort {
    private static let range: ClosedRange<UInt16> = 15_000...31_999
    static let attempts = 8

    static func find() throws(LocalServiceError) -> Int {
        for _ in 0..<1_000 {
            let port = UInt16.random(in: range)
            if isFree(port) { return Int(port) }
        }
        throw LocalServiceError(.systemCallFailed, "no TCP port between 15000 and 31999 is free on 127.0.0.1")
    }

    private static func isFree(_ port: UInt16) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        } == 0
    }
}
