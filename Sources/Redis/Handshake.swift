/// What is said before the first command of a caller: log in, choose the database, give the connection a name.
///
/// All of it goes out in one write. A refusal ends the connection, except that of the name: an access list may forbid
/// `CLIENT`, and a nameless connection works as well.
struct Handshake {
    enum Outcome {
        /// More replies are to come.
        case wait
        /// The connection can serve.
        case done
        /// The connection cannot serve.
        case failed(RedisError)
    }

    private enum Step {
        case authenticate
        case select
        case setName
    }

    private let configuration: RedisConfiguration
    private var steps: [Step]

    init(_ configuration: RedisConfiguration) {
        self.configuration = configuration
        steps = []
        if configuration.password != nil { steps.append(.authenticate) }
        if configuration.database != 0 { steps.append(.select) }
        // Always: its reply proves that a Redis that wants no further credentials is at the other end.
        steps.append(.setName)
    }

    /// What to send, in order.
    var commands: [RedisCommand] {
        steps.map { step in
            switch step {
            case .authenticate:
                let credentials = [configuration.username, configuration.password].compactMap {
                    $0.map(RedisArgument.string)
                }
                return RedisCommand("AUTH", arguments: credentials)
            case .select:
                return RedisCommand("SELECT", RedisArgument(configuration.database))
            case .setName:
                return RedisCommand("CLIENT", "SETNAME", "freshet")
            }
        }
    }

    /// Takes the next reply.
    mutating func received(_ reply: RedisReply) -> Outcome {
        guard !steps.isEmpty else { return .done }
        let step = steps.removeFirst()
        if let error = reply.error, let failure = failure(of: step, error) {
            return .failed(failure)
        }
        return steps.isEmpty ? .done : .wait
    }

    private func failure(of step: Step, _ error: RedisServerError) -> RedisError? {
        switch (step, error.code) {
        case (_, .generic) where error.message.hasPrefix("max number of clients"):
            // Said in place of whatever the first reply would be.
            return RedisError(.cannotConnect, "cannot use \(configuration): \(error.message)", underlying: error)
        case (_, .authenticationRequired):
            let mend =
                configuration.password == nil
                ? "it wants a password and the configuration has none"
                : "it wants other credentials (\(error))"
            return RedisError(.authenticationFailed, "cannot log in to \(configuration): \(mend)", underlying: error)
        case (.authenticate, .wrongPassword):
            let user = configuration.username.map { "user \"\($0)\"" } ?? "the default user"
            return RedisError(
                .authenticationFailed,
                "cannot log in to \(configuration): the server refuses the password of \(user), or there is no such user",
                underlying: error
            )
        case (.authenticate, .generic):
            // The only other thing AUTH says: no password is set, or (before Redis 6) there are no users.
            return RedisError(
                .authenticationFailed,
                "cannot log in to \(configuration): \(error.message)",
                underlying: error
            )
        case (.setName, .permissionDenied), (.setName, .generic):
            return nil
        case (.select, .generic):
            return RedisError(
                .cannotConnect,
                "cannot use database \(configuration.database) of \(configuration): \(error.message)",
                underlying: error
            )
        default:
            // Protected mode replies with a whole page: the first sentence says it.
            let sentence = error.description.firstRange(of: ". ").map { error.description[..<$0.lowerBound] }
            let text = sentence.map(String.init) ?? error.description
            return RedisError(.cannotConnect, "cannot use \(configuration): \(text)", underlying: error)
        }
    }
}
