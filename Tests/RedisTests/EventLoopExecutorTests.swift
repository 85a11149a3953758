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
