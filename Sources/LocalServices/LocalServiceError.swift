/// Why a private server could not be started, stopped or asked: one line that names the thing, the value and the mend.
public struct LocalServiceError: Error, Sendable, CustomStringConvertible {
    /// What kind of failure it is.
    public struct Code: Sendable, Hashable {
        private enum Kind: Sendable, Hashable {
            case notInstalled, cannotStart, addressInUse, toolFailed, timedOut, notRunning, systemCallFailed, misuse
        }

        private let kind: Kind

        /// A program that is needed is not on this machine.
        public static let notInstalled = Code(kind: .notInstalled)
        /// The server ended before it was ready.
        public static let cannotStart = Code(kind: .cannotStart)
        /// The TCP port is taken by another process.
        public static let addressInUse = Code(kind: .addressInUse)
        /// A helper program (initdb, psql, openssl …) reported failure.
        public static let toolFailed = Code(kind: .toolFailed)
        /// What was waited for did not happen in time.
        public static let timedOut = Code(kind: .timedOut)
        /// The operation needs a running server, and this one is stopped.
        public static let notRunning = Code(kind: .notRunning)
        /// The operating system refused something (a folder, a socket, a process).
        public static let systemCallFailed = Code(kind: .systemCallFailed)
        /// The server was not started in a way that allows this operation.
        public static let misuse = Code(kind: .misuse)
    }

    /// What kind of failure it is.
    public let code: Code
    /// One line for a person.
    public let message: String
    /// Where the error was made.
    public let file: String
    /// Where the error was made.
    public let line: Int

    init(_ code: Code, _ message: String, file: String = #fileID, line: Int = #line) {
        self.code = code
        self.message = message
        self.file = file
        self.line = line
    }

    /// The message.
    public var description: String { message }
}
