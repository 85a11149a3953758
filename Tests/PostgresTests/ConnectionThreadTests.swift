import Glibc
import Testing

@testable import Postgres

/// An actor on a connection's thread, that waits as connections do.
private actor Waiter {
    nonisolated let thread: ConnectionThread
    private(set) var wakenings: [Wakening] = []

    nonisolated var unownedExecutor: UnownedSerialExecutor {
        thread.asUnownedSerialExecutor()
    }

    init() throws {
        thread = try ConnectionThread()
    }

    func wait(_ id: WaitID, for socket: Int32? = nil, limit: Duration = .seconds(60)) async -> Wakening {
        let wakening = await thread.end(thread.begin(id, for: socket, until: .now + limit), isolation: self)
        wakenings.append(wakening)
        return wakening
    }

    /// Has a job come to the thread that ends a wait which has begun, before its task is suspended.
    func waitForWhatComesFirst() async -> (isFound: Bool, wakening: Wakening) {
        let id = thread.begin(until: .now + .seconds(60))
        let waking = Task { thread.wake(id) }
        let wakening = await thread.end(id, isolation: self)
        return (await waking.value, wakening)
    }

    /// Ends a wait twice before its task is suspended.
    func waitForWhatHasHappened() async -> (wakes: [Bool], wakening: Wakening) {
        let id = thread.begin(until: .now + .seconds(60))
        let wakes = [thread.wake(id), thread.wake(id)]
        return (wakes, await thread.end(id, isolation: self))
    }

    func threadIdentity() -> pthread_t {
        pthread_self()
    }
}

@Suite struct ConnectionThreadTests {
    @Test func `an actor's jobs run on its own thread, and waiting does not hold it`() async throws {
        let waiter = try Waiter()
        let other = try Waiter()
        let id = waiter.thread.makeWaitID()
        async let waiting = waiter.wait(id)
        let first = await waiter.threadIdentity()
        #expect(await waiter.threadIdentity() == first)
        #expect(await other.threadIdentity() != first)
        waiter.thread.signal(id)
        #expect(await waiting == .signalled)
    }

    @Test func `a signal that comes before its wait is kept`() async throws {
        let waiter = try Waiter()
        let id = waiter.thread.makeWaitID()
        waiter.thread.signal(id)
        #expect(await waiter.wait(id) == .signalled)
    }

    @Test func `a job between the beginning of a wait and its suspension finds it`() async throws {
        let waiter = try Waiter()
        for _ in 0..<100 {
            let (isFound, wakening) = await waiter.waitForWhatComesFirst()
            #expect(isFound)
            #expect(wakening == .signalled)
        }
    }

    @Test func `what ends before its task is suspended has ended`() async throws {
        let (wakes, wakening) = await (try Waiter()).waitForWhatHasHappened()
        #expect(wakes == [true, false])
        #expect(wakening == .signalled)
    }

    @Test func `a deadline ends a wait`() async throws {
        let waiter = try Waiter()
        #expect(await waiter.wait(waiter.thread.makeWaitID(), limit: .milliseconds(3)) == .timedOut)
        #expect(await waiter.wait(waiter.thread.makeWaitID(), limit: .zero) == .timedOut)
    }

    @Test func `a wait ends when its socket has something to read`() async throws {
        let waiter = try Waiter()
        var ends: [Int32] = [-1, -1]
        #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        defer { ends.forEach { close($0) } }
        let reader = ends[0]
        async let waiting = waiter.wait(waiter.thread.makeWaitID(), for: reader)
        var byte: UInt8 = 1
        #expect(write(ends[1], &byte, 1) == 1)
        #expect(await waiting == .ready)
    }

    @Test func `a cancellation ends a wait, whether it comes before or after`() async throws {
        let waiter = try Waiter()
        for _ in 0..<500 {
            let task = Task { await waiter.wait(waiter.thread.makeWaitID()) }
            task.cancel()
            #expect(await task.value == .cancelled)
        }
    }

    @Test func `of a signal and a cancellation at the same time one ends the wait`() async throws {
        let waiter = try Waiter()
        for _ in 0..<500 {
            let id = waiter.thread.makeWaitID()
            let task = Task { await waiter.wait(id) }
            async let signalling: Void = { waiter.thread.signal(id) }()
            task.cancel()
            await signalling
            #expect([.cancelled, .signalled].contains(await task.value))
        }
        #expect(await waiter.wakenings.count == 500)
    }

    @Test func `many waits on one thread end on their own`() async throws {
        let waiter = try Waiter()
        await withTaskGroup { group in
            for _ in 0..<200 {
                let id = waiter.thread.makeWaitID()
                group.addTask { _ = await waiter.wait(id) }
                group.addTask { waiter.thread.signal(id) }
            }
        }
        #expect(await waiter.wakenings == Array(repeating: .signalled, count: 200))
    }
}
