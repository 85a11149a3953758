/// What is said before the first command of a caller: log in, choose the database, give the connection a name.
///
/// All of it goes out in one write. A refusal ends the connection, except that of the name: an access list may forbid
/// `CLIENT`, and a nameless connection works as well. A refusal to track ends it too: who asked for tracking keeps values
/// in the belief that it will be told when they change.
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
        case track(Tracker)
        case find(Tracker)
    }

    private let configuration: RedisConfiguration
    private let name: String
    private var steps: [Step]

    /// Says that the connection that is told is not at the other end, after a reply to `CLIENT LIST`; nil where it is.
    private func strayedFailure(_ reply: RedisReply, _ tracker: Tracker) -> RedisError? {
        if reply.string?.contains("name=\(tracker.name) ") == true { return nil }
        return RedisError(
            .cannotConnect,
            "cannot track keys on \(configuration): two connections lead to two servers; give the address of one"
        )
    }

    /// The connection that is told when keys change.
    struct Tracker: Hashable, Sendable {
        /// Its client id, which is only unique within a server.
        var clientID: Int64
        /// Its name, which nobody else has.
        var name: String
    }

    /// - Parameters:
    ///   - name: What `CLIENT LIST` calls the connection.
    ///   - tracker: The connection that is told when keys change which this one reads after `CLIENT CACHING YES`; nil does
    ///     not track.
    init(_ configuration: RedisConfiguration, name: String = "freshet", redirectingTo tracker: Tracker? = nil) {
        self.configuration = configuration
        self.name = name
        steps = []
        if configuration.password != nil { steps.append(.authenticate) }
        if configuration.database != 0 { steps.append(.select) }
        // Always: its reply proves that a Redis that wants no further credentials is at the other end.
        steps.append(.setName)
        // A name can lead to several servers, and client ids are small numbers: another client there may have this one.
        if let tracker { steps += [.track(tracker), .find(tracker)] }
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
                return RedisCommand("CLIENT", "SETNAME", .string(name))
            case .track(let tracker):
                // Without NOLOOP: with it, a write of one's own ends the tracking of the key and says nothing (tried).
                return RedisCommand("CLIENT", "TRACKING", "ON", "REDIRECT", .integer(tracker.clientID), "OPTIN")
            case .find(let tracker):
                return RedisCommand("CLIENT", "LIST", "ID", .integer(tracker.clientID))
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
        if case .find(let tracker) = step, let failure = strayedFailure(reply, tracker) {
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
        case (.track, _), (.find, _):
            return RedisError(
                .cannotConnect,
                "cannot track keys on \(configuration): \(error)",
                underlying: error
            )
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
