import Keyspace
import Redis
import Surroundings

/// A process's client of the simulated Redis: one connection at a time, in whose order everything is sent, executed and answered.
///
/// `@unchecked Sendable` because it is used on the one thread that runs the simulation.
final class SimulatedRedis: RedisClient, @unchecked Sendable {
    private let world: World
    private let process: SimulatedProcess
    private(set) var server: RedisServer?
    private var connection = 0
    private var lastArrival: Int64 = 0
    private var lastReply: Int64 = 0
    private var calls: [Waiter<Result<[[RedisReply]], RedisError>>] = []

    init(_ world: World, _ process: SimulatedProcess) {
        self.world = world
        self.process = process
    }

    func send(_ batches: [RedisBatch], timeLimit: Duration?) async throws(RedisError) -> [[RedisReply]] {
        let outcome = await process.wait(cancelled: .failure(RedisError(.cancelled, "cancelled"))) {
            (waiter: Waiter<Result<[[RedisReply]], RedisError>>) in
            let scheduler = world.scheduler
            scheduler.limit(waiter, to: World.commandTimeLimit) { [self] in
                process.perform { waiter.resume(.failure(RedisError(.timedOut, "no answer in time"))) }
            }
            if server == nil || server?.isUp == false {
                server = world.reachableRedis
                connection += 1
                calls = []
                (lastArrival, lastReply) = (0, 0)
            }
            guard let server else {
                scheduler.after(world.latency()) { [self] in
                    process.perform { waiter.resume(.failure(RedisError(.cannotConnect, "nobody there"))) }
                }
                return
            }
            calls.removeAll { !$0.isWaiting }
            calls.append(waiter)
            let (connection, starts) = (connection, server.starts)
            lastArrival = max(lastArrival, scheduler.now + world.latency())
            scheduler.at(lastArrival) { [self] in
                // What was on its way when the connection was lost may have arrived, or not.
                guard starts == server.starts,
                    connection == self.connection || world.scheduler.random.chance(oneIn: 2)
                else { return }
                execute(batches, 0, [], on: server) { [self] replies in
                    guard connection == self.connection else { return }
                    lastReply = max(lastReply, scheduler.now + world.latency())
                    scheduler.at(lastReply) { [self] in
                        guard connection == self.connection else { return }
                        process.perform { waiter.resume(.success(replies)) }
                    }
                }
            }
        }
        return try outcome.get()
    }

    /// Executes some batches, one after the other; others' commands may come in between, but not into a transaction, and so may
    /// another dataset.
    private func execute(
        _ batches: [RedisBatch],
        _ first: Int,
        _ done: [[RedisReply]],
        on server: RedisServer,
        then: @escaping ([[RedisReply]]) -> Void
    ) {
        let scheduler = world.scheduler
        guard server.isUp else { return }
        if server.hangsUntil > scheduler.now {
            scheduler.at(server.hangsUntil) { [self] in execute(batches, first, done, on: server, then: then) }
            return
        }
        var done = done
        for place in first..<batches.count {
            let batch = batches[place]
            var replies: [RedisReply] = []
            replies.reserveCapacity(batch.commands.count)
            if batch.isTransaction, let refusal = server.model.transactionRefusal {
                replies = batch.commands.map { _ in .error(refusal) }
            } else if batch.isTransaction || batch.commands.count == 1 || !scheduler.random.chance(oneIn: 4) {
                for element in batch.commands { replies.append(server.execute(element, for: process)) }
            } else {
                let rest = RedisBatch(key: batch.key, commands: Array(batch.commands.dropFirst()))
                replies.append(server.execute(batch.commands[0], for: process))
                scheduler.after(world.shortLatency()) { [self] in
                    execute([rest], 0, [], on: server) { [self] answer in
                        execute(batches, place + 1, done + [replies + answer[0]], on: server, then: then)
                    }
                }
                return
            }
            done.append(replies)
            guard place + 1 < batches.count else { break }
            let isAwaited = Self.isPass(batch) && world.happened(.scriptRan)
            if isAwaited || scheduler.random.chance(oneIn: 3) {
                scheduler.after(world.shortLatency()) { [self] in
                    execute(batches, place + 1, done, on: server, then: then)
                }
                return
            }
        }
        then(done)
    }

    /// Whether a batch is a script of a worker's pass.
    private static func isPass(_ batch: RedisBatch) -> Bool {
        guard case .script(let script, _, _)? = batch.commands.last else { return false }
        return script.name == KeyspaceScript.apply.name
    }

    /// The connection is lost, and with it all answers.
    func lose() {
        server = nil
        connection += 1
        let calls = calls
        self.calls = []
        world.scheduler.after(world.latency()) { [self] in
            process.perform {
                for call in calls { call.resume(.failure(RedisError(.connectionLost, "the connection was lost"))) }
            }
        }
    }
}
