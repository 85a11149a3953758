/// An error that the server replied with, for one command: a value, because the others of its pipeline may have worked.
public struct RedisServerError: Error, Sendable, Hashable {
    /// The first word of an error reply.
    public struct Code: RawRepresentable, Sendable, Hashable, ExpressibleByStringLiteral {
        /// The word as the server sent it.
        public let rawValue: String

        /// A code by its word.
        public init(rawValue: String) {
            self.rawValue = rawValue
        }

        /// A code by its word.
        public init(stringLiteral value: String) {
            self.rawValue = value
        }
    }

    /// The first word, such as `WRONGTYPE`.
    public let code: Code
    /// The text behind the code.
    public let message: String

    /// An error with its code and the text behind it.
    public init(code: Code, message: String) {
        self.code = code
        self.message = message
    }

    /// An error out of the line that the server sent: the code, a space, the text.
    public init(line: String) {
        let parts = line.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
        let word = parts.first.map(String.init) ?? ""
        // Redis modules and scripts may reply with any text at all; only capitals make a code.
        if !word.isEmpty,
            word.utf8.allSatisfy({ (0x41...0x5A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x5F })
        {
            self.init(code: Code(rawValue: word), message: parts.count > 1 ? String(parts[1]) : "")
        } else {
            self.init(code: .generic, message: line)
        }
    }
}

extension RedisServerError.Code {
    /// `ERR`, an error without a code of its own.
    public static let generic: Self = "ERR"
    /// `NOSCRIPT`, no script has this hash here.
    public static let noScript: Self = "NOSCRIPT"
    /// `READONLY`, a write was sent to a replica.
    public static let readOnly: Self = "READONLY"
    /// `OOM`, the server is full and may evict nothing.
    public static let outOfMemory: Self = "OOM"
    /// `WRONGTYPE`, the key holds another type.
    public static let wrongType: Self = "WRONGTYPE"
    /// `LOADING`, the server is reading its dataset.
    public static let loading: Self = "LOADING"
    /// `BUSY`, a script has been running for too long.
    public static let busy: Self = "BUSY"
    /// `MISCONF`, writes are refused because snapshots fail.
    public static let misconfigured: Self = "MISCONF"
    /// `MASTERDOWN`, a replica without its primary that may not serve old data.
    public static let primaryDown: Self = "MASTERDOWN"
    /// `NOREPLICAS`, too few replicas for a write.
    public static let tooFewReplicas: Self = "NOREPLICAS"
    /// `NOAUTH`, a password is wanted.
    public static let authenticationRequired: Self = "NOAUTH"
    /// `WRONGPASS`, the user or the password is wrong.
    public static let wrongPassword: Self = "WRONGPASS"
    /// `NOPERM`, the user may not do this.
    public static let permissionDenied: Self = "NOPERM"
    /// `EXECABORT`, a transaction was not executed.
    public static let transactionAborted: Self = "EXECABORT"
    /// `MOVED`, the slot lives on another node.
    public static let moved: Self = "MOVED"
    /// `ASK`, the slot is being moved to another node.
    public static let ask: Self = "ASK"
    /// `TRYAGAIN`, the keys of a slot are on two nodes for the moment.
    public static let tryAgain: Self = "TRYAGAIN"
    /// `CLUSTERDOWN`, the cluster does not serve.
    public static let clusterDown: Self = "CLUSTERDOWN"
    /// `CROSSSLOT`, the keys belong to several slots.
    public static let crossSlot: Self = "CROSSSLOT"
}

extension RedisServerError: CustomStringConvertible {
    /// The line as the server sent it.
    public var description: String {
        message.isEmpty ? code.rawValue : "\(code.rawValue) \(message)"
    }
}

extension RedisServerError.Code: CustomStringConvertible {
    /// The word as the server sent it.
    public var description: String { rawValue }
}
