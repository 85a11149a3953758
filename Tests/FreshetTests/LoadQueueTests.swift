import NIOConcurrencyHelpers
import Testing

@testable import Freshet

struct LoadQueueStateMachineTests {
    private func machine(
        window: Duration = .milliseconds(1),
        loads: Int = 2,
        keys: Int = 10
    ) -> LoadQueueStateMachine<Int> {
        var limits = LoadLimits()
        limits.window = window
        limits.maximumConcurrentLoads = loads
        limits.maximumKeysPerLoad = keys
        return LoadQueueStateMachine(limits: limits)
    }

    private func batch(_ action: LoadQueueStateMachine<Int>.Action) -> (id: Int, keys: [Int])? {
        if case .load(let batch) = action { (batch.id, batch.keys.sorted()) } else { nil }
    }

    private func isWindow(_ action: LoadQueueStateMachine<Int>.Action) -> Bool {
        if case .openWindow = action { true } else { false }
    }

    @Test func `who arrives within the window shares one load`() throws {
        var machine = machine()
        let first = machine.arrive(1, keys: [1, 2])
        #expect(isWindow(first))
        let second = machine.arrive(2, keys: [2, 3])
        #expect(batch(second) == nil)
        let load = try #require(batch(machine.windowPassed()))
        #expect(load.keys == [1, 2, 3])
        let callers = machine.ended(load.id).callers
        #expect(callers == [1, 2])
        #expect(machine.loadCount == 0)
    }

    @Test func `who arrives after a load has begun waits for a later one`() throws {
        var machine = machine(window: .zero, loads: 1)
        let first = try #require(batch(machine.arrive(1, keys: [1])))
        let second = machine.arrive(2, keys: [1])
        #expect(batch(second) == nil)
        let (callers, next) = machine.ended(first.id)
        #expect(callers == [1])
        #expect(batch(next)?.keys == [1])
    }

    @Test func `no more loads are under way than are allowed, and those in line are put together`() throws {
        var machine = machine(window: .zero)
        let first = try #require(batch(machine.arrive(1, keys: [1])))
        _ = try #require(batch(machine.arrive(2, keys: [2])))
        for caller in 3...6 {
            let action = machine.arrive(caller, keys: [caller])
            #expect(batch(action) == nil)
        }
        #expect(machine.loadCount == 2)
        let next = machine.ended(first.id).next
        #expect(batch(next)?.keys == [3, 4, 5, 6])
    }

    @Test func `a load takes callers in up to its size, but divides none`() throws {
        var machine = machine(window: .zero, loads: 1)
        let first = try #require(batch(machine.arrive(1, keys: Array(1...50))))
        #expect(first.keys.count == 50)
        for caller in 2...4 { _ = machine.arrive(caller, keys: Array((caller * 100)..<(caller * 100 + 4))) }
        let second = try #require(batch(machine.ended(first.id).next))
        #expect(second.keys.count == 8)
        let third = machine.ended(second.id).next
        #expect(batch(third)?.keys.count == 4)
    }

    @Test func `a line that is longer than one load goes into several at once`() throws {
        var machine = machine(loads: 2)
        for caller in 1...3 { _ = machine.arrive(caller, keys: Array((caller * 100)..<(caller * 100 + 6))) }
        let first = machine.windowPassed()
        #expect(batch(first)?.keys.count == 6)
        let second = machine.more()
        #expect(batch(second)?.keys.count == 6)
        let third = machine.more()
        #expect(batch(third) == nil)
        #expect(machine.loadCount == 2)
    }

    @Test func `who leaves the line is not loaded for, and the last to leave a load ends it`() throws {
        var machine = machine(window: .zero, loads: 1)
        let first = try #require(batch(machine.arrive(1, keys: [1])))
        _ = machine.arrive(2, keys: [2])
        _ = machine.leave(2)
        guard case .cancel(batch: first.id) = machine.leave(1) else {
            Issue.record("expected the load to be cancelled")
            return
        }
        let (callers, next) = machine.ended(first.id)
        #expect(callers.isEmpty)
        #expect(batch(next) == nil)
    }
}

struct LoadQueueTests {
    private struct Failed: Error {}

    private func limits(window: Duration = .zero, loads: Int = 2) -> LoadLimits {
        var limits = LoadLimits()
        limits.window = window
        limits.maximumConcurrentLoads = loads
        return limits
    }

    @Test func `many callers are answered by few loads, and never more at once than allowed`() async throws {
        struct Count {
            var now = 0
            var most = 0
            var all = 0
        }
        let count = NIOLockedValueBox(Count())
        let queue = LoadQueue<Int, Int>(limits: limits(loads: 3)) { keys in
            count.withLockedValue { count in
                count.now += 1
                count.all += 1
                count.most = max(count.most, count.now)
            }
            for _ in 0..<20 { await Task.yield() }
            count.withLockedValue { $0.now -= 1 }
            return LoadedValues(values: Dictionary(uniqueKeysWithValues: keys.map { ($0, -$0) }), postgres: nil)
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for key in 0..<200 {
                group.addTask {
                    let loaded = try await queue.values(of: [key])
                    #expect(loaded.values[key] == -key)
                }
            }
            try await group.waitForAll()
        }
        #expect(count.withLockedValue { $0.most } <= 3)
        #expect(count.withLockedValue { $0.all } < 200)
    }

    @Test func `an error reaches the callers of its load, and the next load is not concerned`() async throws {
        let fails = NIOLockedValueBox(true)
        let queue = LoadQueue<Int, Int>(limits: limits(window: .milliseconds(1))) { keys in
            if fails.withLockedValue({ $0 }) { throw Failed() }
            return LoadedValues(values: Dictionary(uniqueKeysWithValues: keys.map { ($0, $0) }), postgres: nil)
        }
        await #expect(throws: Failed.self) { try await queue.values(of: [1]) }
        fails.withLockedValue { $0 = false }
        #expect(try await queue.values(of: [1]).values == [1: 1])
    }

    @Test(arguments: [Duration.zero, .milliseconds(1)])
    func `a cancelled caller returns at once, and its load is cancelled with it`(window: Duration) async throws {
        let (ended, continuation) = AsyncStream<Void>.makeStream()
        let queue = LoadQueue<Int, Int>(limits: limits(window: window)) { _ in
            defer { continuation.yield() }
            try await Task.sleep(for: .seconds(600))
            return LoadedValues(values: [:], postgres: nil)
        }
        let (began, beginning) = AsyncStream<Void>.makeStream()
        let caller = Task {
            beginning.yield()
            return try await queue.values(of: [1])
        }
        for await _ in began { break }
        if window == .zero {
            // Cancelled somewhere on the way: before it waits, in line, or aboard.
            caller.cancel()
            await #expect(throws: CancellationError.self) { try await caller.value }
        } else {
            let other = Task { try await queue.values(of: [2]) }
            caller.cancel()
            await #expect(throws: CancellationError.self) { try await caller.value }
            other.cancel()
            await #expect(throws: CancellationError.self) { try await other.value }
        }
        _ = ended
    }
}
