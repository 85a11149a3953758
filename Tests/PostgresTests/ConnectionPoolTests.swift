import Synchronization
import Testing

@testable import Postgres

/// A connection that does what the test says.
private final class FakeConnection: PooledConnection {
    struct State {
        var isUsable = true
        var isReusable = true
        var isClosed = false
    }

    let number: Int
    let state = Locked(State())

    init(number: Int) {
        self.number = number
    }

    var isUsable: Bool {
        get async { state.withLock { $0.isUsable && !$0.isClosed } }
    }

    var isClosed: Bool { state.withLock { $0.isClosed } }

    func prepareForNextUse() async -> Bool { state.withLock { $0.isReusable && !$0.isClosed } }

    func close() async { state.withLock { $0.isClosed = true } }
}

/// Makes numbered connections, or refuses.
private final class FakeServer: Sendable {
    struct Refusal: Error {}

    struct State {
        var made = 0
        var isRefusing = false
    }

    let state = Locked(State())

    func connect() throws -> FakeConnection {
        try state.withLock { state in
            if state.isRefusing { throw Refusal() }
            state.made += 1
            return FakeConnection(number: state.made)
        }
    }

    var made: Int { state.withLock { $0.made } }
}

/// What several tasks of a test write down.
private final class Notebook: Sendable {
    let order = Locked<[Int]>([])
    let inUse = Atomic(0)
}

@Suite struct ConnectionPoolTests {
    private let server = FakeServer()

    private func makePool(_ maximum: Int, waitTimeLimit: Duration = .seconds(60)) -> ConnectionPool<FakeConnection> {
        ConnectionPool(maximumConnections: maximum, waitTimeLimit: waitTimeLimit) { [server] in try server.connect() }
    }

    /// Waits until so many callers wait for a connection.
    private func waiters(_ count: Int, of pool: ConnectionPool<FakeConnection>) async {
        while pool.waiterCount != count { await Task.yield() }
    }

    @Test func `an idle connection is used again before another is opened`() async throws {
        let pool = makePool(4)
        let first = try await pool.lend()
        await pool.takeBack(first)
        #expect(try await pool.lend() === first)
        #expect(server.made == 1)
        _ = try await pool.lend()
        #expect(server.made == 2)
    }

    @Test func `no more connections are made than allowed, and who waits is served in order`() async throws {
        let pool = makePool(1)
        let connection = try await pool.lend()
        let notebook = Notebook()
        try await withThrowingTaskGroup { group in
            for number in 0..<5 {
                group.addTask {
                    let connection = try await pool.lend()
                    notebook.order.withLock { $0.append(number) }
                    await pool.takeBack(connection)
                }
                await waiters(number + 1, of: pool)
            }
            await pool.takeBack(connection)
            try await group.waitForAll()
        }
        #expect(notebook.order.withLock { $0 } == [0, 1, 2, 3, 4])
        #expect(server.made == 1)
    }

    @Test func `a broken connection is closed and its place goes to the next`() async throws {
        let pool = makePool(1)
        let broken = try await pool.lend()
        async let next = pool.lend()
        await waiters(1, of: pool)
        broken.state.withLock { $0.isReusable = false }
        await pool.takeBack(broken)
        #expect(try await next.number == 2)
        #expect(broken.isClosed)
    }

    @Test func `an idle connection that died is replaced`() async throws {
        let pool = makePool(1)
        let dead = try await pool.lend()
        await pool.takeBack(dead)
        dead.state.withLock { $0.isUsable = false }
        #expect(try await pool.lend().number == 2)
        #expect(dead.isClosed)
    }

    @Test func `a failure to connect is the caller's, and gives the place back`() async throws {
        let pool = makePool(1)
        server.state.withLock { $0.isRefusing = true }
        await #expect(throws: FakeServer.Refusal.self) { try await pool.lend() }
        server.state.withLock { $0.isRefusing = false }
        #expect(try await pool.lend().number == 1)
    }

    @Test func `a cancelled wait ends and leaves the queue`() async throws {
        let pool = makePool(1)
        let connection = try await pool.lend()
        for _ in 0..<200 {
            let task = Task { try await pool.lend() }
            task.cancel()
            let error = await #expect(throws: PostgresError.self) { try await task.value }
            #expect(error?.code == .cancelled)
        }
        #expect(pool.waiterCount == 0)
        await pool.takeBack(connection)
        #expect(try await pool.lend() === connection)
    }

    @Test func `a wait that lasts too long ends`() async throws {
        let pool = makePool(1, waitTimeLimit: .milliseconds(5))
        let connection = try await pool.lend()
        let error = await #expect(throws: PostgresError.self) { try await pool.lend() }
        #expect(error?.code == .timedOut)
        await pool.takeBack(connection)
        #expect(try await pool.lend() === connection)
    }

    @Test func `closing turns away who waits and closes what comes back`() async throws {
        let pool = makePool(2)
        let idle = try await pool.lend()
        let lent = try await pool.lend()
        await pool.takeBack(idle)
        await pool.close()
        #expect(idle.isClosed)
        #expect(!lent.isClosed)
        await pool.takeBack(lent)
        #expect(lent.isClosed)
        let error = await #expect(throws: PostgresError.self) { try await pool.lend() }
        #expect(error?.code == .closed)
    }

    @Test func `closing ends waits`() async throws {
        let pool = makePool(1)
        _ = try await pool.lend()
        let task = Task { try await pool.lend() }
        await waiters(1, of: pool)
        await pool.close()
        let error = await #expect(throws: PostgresError.self) { try await task.value }
        #expect(error?.code == .closed)
    }

    @Test func `a connection comes back from a cancelled task`() async throws {
        let pool = makePool(1)
        let task = Task {
            let connection = try await pool.lend()
            withUnsafeCurrentTask { $0?.cancel() }
            await pool.takeBack(connection)
        }
        try await task.value
        #expect(try await pool.lend().number == 1)
    }

    @Test func `many tasks, cancelled at random, never leave a place behind`() async throws {
        let pool = makePool(3)
        let notebook = Notebook()
        await withTaskGroup { group in
            for number in 0..<300 {
                let task = Task {
                    let connection = try await pool.lend()
                    let count = notebook.inUse.add(1, ordering: .sequentiallyConsistent).newValue
                    #expect(count <= 3)
                    await Task.yield()
                    if number.isMultiple(of: 7) { connection.state.withLock { $0.isReusable = false } }
                    notebook.inUse.subtract(1, ordering: .sequentiallyConsistent)
                    await pool.takeBack(connection)
                }
                group.addTask {
                    if number.isMultiple(of: 3) { task.cancel() }
                    _ = await task.result
                }
            }
        }
        var lent: [FakeConnection] = []
        for _ in 0..<3 { lent.append(try await pool.lend()) }
        #expect(Set(lent.map(\.number)).count == 3)
    }
}
