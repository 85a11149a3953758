/// Why a cache gives no answer.
public struct CacheError: Error, Equatable, CustomStringConvertible {
    /// What kind of failure it is.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Kind: String {
            case namespaceInUse, degraded, unreachable, deadlineExceeded
        }

        private let kind: Kind

        /// Another cache of this process uses the namespace already.
        public static let namespaceInUse = Code(kind: .namespaceInUse)
        /// Nobody vouches for what Redis holds, and the policy is ``DegradationPolicy/fail``.
        public static let degraded = Code(kind: .degraded)
        /// Redis does not answer, and the policy is ``DegradationPolicy/fail``.
        public static let unreachable = Code(kind: .unreachable)
        /// The caller's deadline has passed.
        public static let deadlineExceeded = Code(kind: .deadlineExceeded)

        /// The code's name.
        public var description: String { kind.rawValue }
    }

    /// What kind of failure it is.
    public let code: Code
    /// One line: the thing, the value, the mend.
    public let description: String

    init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }
}
