extension RedisReply {
    /// The reply to TIME, in microseconds since 1970 by the server's clock; nil where this is something else.
    public var serverTimeInMicroseconds: Int64? {
        guard case .array(let parts) = self, parts.count == 2, let seconds = parts[0].int64,
            let fraction = parts[1].int64, (0..<1_000_000).contains(fraction),
            (0..<Int64.max / 1_000_000).contains(seconds)
        else { return nil }
        return seconds * 1_000_000 + fraction
    }
}

extension RedisCommand {
    /// TIME; its reply is read by `serverTimeInMicroseconds`.
    public static let time = RedisCommand("TIME")
}
