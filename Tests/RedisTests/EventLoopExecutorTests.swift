import Logging
import NIOCore
import NIOPosix
import Testing

@testable import Redis

struct EventLoopExecutorTests {
    private func isOnEventLoop(of loop: any EventLoop) -> Bool { loop.inEventLoop }

    @Test func `a task on the executor runs on the event loop, also behind a wait, and returns where it came from`()
        async
    {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let executor = EventLoopExecutor(loop)
        let places = await withTaskExecutorPreference(executor) {
            let before = isOnEventLoop(of: loop)
            await Task.yield()
            return [before, isOnEventLoop(of: loop)]
        }
        #expect(places == [true, true])
        #expect(!isOnEventLoop(of: loop))
    }

    @Test func `jobs that become ready while others are run are run as well, on the event loop`() async {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let executor = EventLoopExecutor(loop)
        let places = await withTaskGroup(of: [Bool].self) { tasks in
            for _ in 0..<64 {
                tasks.addTask(executorPreference: executor) {
                    var places: [Bool] = []
                    for _ in 0..<100 {
                        await Task.yield()
                        async let child = isOnEventLoop(of: loop)
                        places.append(await child && isOnEventLoop(of: loop))
                    }
                    return places
                }
            }
            return await tasks.reduce(into: []) { $0 += $1 }
        }
        #expect(places == Array(repeating: true, count: 6_400))
    }

    @Test func `a call from the executor is cancelled like any other`() async {
        let node = RedisNode(
            RedisConfiguration(endpoint: .unix(path: "/nonexistent/redis.sock")),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
        let task = Task(executorPreference: node.executor) {
            try await node.send(RedisCommand("PING"), key: "")
        }
        task.cancel()
        await #expect(throws: RedisError.self) { try await task.value }
        await node.close()
    }
}
