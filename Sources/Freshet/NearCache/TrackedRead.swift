import Redis

/// A read whose keys Redis tracks: the transaction of a read, with two commands more.
///
/// The head and the time stand first and are not tracked, because every pass of the worker writes to the head. Everything
/// behind them is, and first of all the key that tells of a bump of the namespace.
enum TrackedRead {
    /// How many commands stand before the entities: the head and the time.
    private static let leadingCount = 2
    private static let addedCount = 2

    /// The transaction to send for a plain one.
    static func tracking(_ batch: RedisBatch, bumpKey: String) -> RedisBatch {
        var batch = batch
        batch.commands.insert(
            contentsOf: [
                .command(TrackedConnection.trackWhatFollows), .command(RedisCommand("GET", .string(bumpKey))),
            ],
            at: leadingCount
        )
        return batch
    }

    /// The replies that the plain transaction would have had; nil where its keys are not tracked.
    static func replies(_ replies: [RedisReply]) -> [RedisReply]? {
        guard replies.count >= leadingCount + addedCount, replies[leadingCount] == .simple("OK") else { return nil }
        var replies = replies
        replies.removeSubrange(leadingCount..<leadingCount + addedCount)
        return replies
    }
}
