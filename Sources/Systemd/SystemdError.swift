import Glibc

/// Why the service manager cannot be told something.
public struct SystemdError: Error, Sendable, Hashable, CustomStringConvertible {
    /// One line.
    public let description: String

    init(_ description: String) {
        self.description = description
    }

    init(_ what: String, _ number: Int32) {
        description = "\(what): \(String(cString: strerror(number)))"
    }
}
