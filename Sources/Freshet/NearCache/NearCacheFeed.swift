// What keeps a near cache right.
//
// Redis tells a pair of connections which keys change that were read on it (client-side caching, RESP2: `CLIENT TRACKING ON
// REDIRECT <id> OPTIN` on the one that reads, and `SUBSCRIBE __redis__:invalidate` on the other). That alone promises
// nothing: either connection may be lost, or hang, without a word on the other. So twice a second
//
//   1. the heads are read, on the connection that reads;
//   2. where they are healthy, the other connection is sent a PING;
//   3. when its answer arrives, values may be answered from memory until
//      (the moment the head was asked for, by the local clock) + (vouched + lease − TIME).
//
// What that proves. The reply to 1 came over the very connection that tracking hangs on, so the tracking stood when the
// server read the head, at T. Redis handles one command after the other and writes an invalidation before it goes on to the
// next command; the PING was executed after T. So behind its answer every invalidation up to T has been applied. Then let a
// value be answered at r, before the deadline. By the server's clock r < vouched + lease. Every commit that was visible
// before `vouched` had been bumped before T, so its invalidation was applied and the value is not the one from before it.
// So what is answered was true at a moment after r − lease: the promise of a healthy hit in Redis, without its time limit.
// And as pushes are applied when they arrive, it is normally as fresh as Redis but for the way of a push.
//
// A bump of the namespace has to come as a push as well: polls alone would keep the promise, as a head with another generation
// ends everything, but would let a value live for half a second longer than in Redis. The head itself cannot be tracked, for
// every pass of the worker writes to it. So the worker writes one small key beside it, with the bump and in the same script,
// and every tracked read reads that key too. `switch` is written by people, into the head; the poll finds it.
//
// Rejected: NOLOOP, which spares us the news of our own fills. A write of one's own then ends the tracking of the key and
// says nothing (tried on 7.0), so filling one variant would leave another of the same entity in memory, untold of for ever.
// BCAST: answers to PING overtake its invalidations. Reading the heads on a third connection: that would not notice the loss
// of the one that tracking hangs on before its socket does. Two heads in one transaction per read (to extend the deadline
// with every miss): a PING would be due for each.
//
// The local clock is one that goes on while the machine sleeps; see `LocalTime`.

import Keyspace
import Logging
import NIOConcurrencyHelpers
import Redis
import Surroundings

/// Opens the connections of a near cache, again and again, and tells it what Redis tells.
struct NearCacheFeed<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    let near: NearCache<Key, Value>
    let open: TrackingOpener
    let namespace: CacheNamespace
    let logger: Logger
    let pollInterval: Duration
    let surroundings: Surroundings

    /// The longest pause between two attempts to connect.
    static var longestPause: Duration { .seconds(5) }

    /// Works until the task is cancelled.
    ///
    /// Failures are logged and tried again; meanwhile nothing is answered from memory.
    func run() async {
        var failures = 0
        while !Task.isCancelled {
            let session = near.nextSession()
            let wasHealthy = NIOLockedValueBox(false)
            do {
                try await serve(session, wasHealthy)
            } catch {
                near.end(session: session)
                guard !Task.isCancelled else { return }
                failures = wasHealthy.withLockedValue { $0 } ? 1 : failures + 1
                logger.log(
                    level: failures > 1 ? .debug : .warning,
                    "Nothing is answered from memory",
                    metadata: ["error": "\(error)", "failures": "\(failures)"]
                )
                var randomness = surroundings
                let jitter = Double.random(in: 0..<1, using: &randomness)
                let pause = Self.pause(afterFailures: failures, jitter: jitter)
                guard (try? await surroundings.sleep(for: pause)) != nil else { return }
            }
        }
    }

    /// Serves one pair of connections until it is lost, which it throws.
    private func serve(_ session: UInt64, _ wasHealthy: NIOLockedValueBox<Bool>) async throws {
        let (losses, loss) = AsyncStream.makeStream(of: RedisError.self)
        let connection = try await open { [near] event in
            near.apply(event, session: session)
            if case .lost(let error) = event { loss.yield(error) }
        }
        do {
            try await checkTracking(connection)
            near.begin(NearCache.Session(number: session, connection: connection))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await poll(connection, session, wasHealthy) }
                // At once, not when the next poll fails: what was lost is opened again the sooner.
                group.addTask {
                    for await error in losses { throw error }
                    // Cancelled: whichever of the two ends first, the session ends by throwing.
                    throw CancellationError()
                }
                defer { group.cancelAll() }
                try await group.next()
            }
        } catch {
            await connection.close()
            throw error
        }
    }

    /// Moves the deadline on for as long as the worker vouches and both connections answer.
    private func poll(
        _ connection: any TrackingSession,
        _ session: UInt64,
        _ wasHealthy: NIOLockedValueBox<Bool>
    ) async throws {
        while true {
            switch try await readHeads(connection) {
            case .healthy(let generations, let deadline):
                try await connection.catchUp()
                near.extend(session, generations: generations, until: deadline)
                let isNews = wasHealthy.withLockedValue { wasHealthy in
                    defer { wasHealthy = true }
                    return !wasHealthy
                }
                if isNews { logger.info("Values are answered from memory") }
            case .none:
                near.pause(session)
            }
            try await surroundings.sleep(for: pollInterval)
        }
    }

    /// Whether this user may say which reads are tracked: without that each read would be sent twice.
    private func checkTracking(_ connection: any TrackingSession) async throws {
        // The command behind it uses it up.
        let commands = [TrackedConnection.trackWhatFollows, RedisCommand("TIME")]
        let replies = try await connection.send([RedisBatch(key: namespace.headKey(bucket: 0), commands: commands)])
        _ = try replies.first?.first?.get()
    }

    /// Reads the heads on the connection that tracking hangs on.
    ///
    /// Not in a transaction, because a full Redis queues nothing for one: the time, read behind the head, is no earlier than
    /// the head, and a later time only shortens the promise.
    private func readHeads(_ connection: any TrackingSession) async throws -> NearLease {
        let sent = LocalTime.now(surroundings)
        let replies = try await connection.send(
            namespace.buckets.map { bucket in
                let key = namespace.headKey(bucket: bucket)
                return RedisBatch(
                    key: key,
                    commands: [
                        RedisCommand("HMGET", arguments: ([key] + Head.readerFields).map { RedisArgument($0) }),
                        RedisCommand("TIME"),
                    ]
                )
            }
        )
        let heads = replies.map { replies in
            (
                head: Head(fields: replies.first?.array?.map(\.string) ?? []),
                time: replies.last?.serverTimeInMicroseconds.map { RedisTime(microseconds: $0) }
            )
        }
        return NearLease(heads: heads, sent: sent)
    }

    /// Exponential from a quarter of a second, capped, and somewhere between a half and the whole of that.
    static func pause(afterFailures failures: Int, jitter: Double) -> Duration {
        let exponential = Duration.milliseconds(250) * (1 << min(max(failures, 1) - 1, 10))
        return min(exponential, longestPause) * (0.5 + 0.5 * jitter)
    }
}
