import ArgumentParser
import Keyspace
import Logging
import Redis

/// `freshet cache`: the switch.
struct CacheCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cache",
        abstract: "Switches the caches off or on for all readers.",
        discussion: """
            All caches behind the prefix at once. Off: readers load, and store nothing, from their next lookup on, and with a
            near cache within a second. Invalidation goes on, so that the caches are right when they are switched on again.

            The switch lies in Redis, beside the data: a Redis that loses its data loses the switch.

            EXAMPLE
              $ freshet cache off
              $ freshet cache on
            """
    )

    /// What readers shall do.
    enum Position: String, ExpressibleByArgument {
        case on, off
    }

    @Argument(help: "on or off.")
    var position: Position

    @OptionGroup(title: "Settings")
    var options: SettingsOptions

    func run() async throws {
        let settings = try options.resolve()
        let redis = RedisNode(settings.redis, logger: settings.logger(.error))
        let namespaces =
            [settings.namespace] + FurtherCache.allCases.map { settings.namespace.sibling(named: $0.rawValue) }
        let batches = namespaces.flatMap { namespace in
            namespace.buckets.map { bucket in
                let head = namespace.headKey(bucket: bucket)
                let command =
                    switch position {
                    case .off: RedisCommand("HSET", .string(head), "switch", "off")
                    case .on: RedisCommand("HDEL", .string(head), "switch")
                    }
                return RedisBatch(key: head, commands: [command])
            }
        }
        let result: Result<[[RedisReply]], RedisError>
        do {
            result = .success(try await redis.send(batches))
        } catch {
            result = .failure(error)
        }
        await redis.close()
        for reply in try result.get().joined() { _ = try reply.get() }
        for namespace in namespaces { try Terminal.write("\(namespace): \(position.rawValue)") }
    }
}
