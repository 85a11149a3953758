/// One NOTIFY that reached this session.
public struct PostgresNotification: Sendable, Hashable {
    /// The channel it was sent to.
    public let channel: String
    /// The text sent along; empty where there was none.
    public let payload: String
    /// The server process that sent it.
    public let backendPID: Int32

    /// A notification with its parts.
    public init(channel: String, payload: String, backendPID: Int32) {
        self.channel = channel
        self.payload = payload
        self.backendPID = backendPID
    }
}
