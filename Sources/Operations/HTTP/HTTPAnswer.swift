/// What is asked for, as far as anybody here goes by it.
struct HTTPQuestion: Hashable, Sendable {
    var method: String
    /// As it stands in the request, a query behind it.
    var target: String
    /// The header `Host`, if there is exactly one.
    var host: String?
    /// Whether only this machine can ask where this was asked.
    var isLoopback: Bool
}

/// What is answered.
struct HTTPAnswer: Hashable, Sendable {
    var status: Int
    var contentType = "text/plain; charset=utf-8"
    /// Beside those that every answer has.
    var headers: [String: String] = [:]
    var body: String

    /// One line of text.
    static func line(_ status: Int, _ text: String, _ headers: [String: String] = [:]) -> HTTPAnswer {
        HTTPAnswer(status: status, headers: headers, body: text + "\n")
    }
}
