import NIOConcurrencyHelpers
import Testing

@testable import Freshet

struct SingleFlightTests {
    /// A load that waits to be let go, and counts.
    private final class Load: Sendable {
        private struct State {
            var calls: [[Int]] = []
            var isOpen = false
            var held: [CheckedContinuation<Void, Never>] = []
            var began: [CheckedContinuation<Void, Never>] = []
            var cancelled = 0
            var joined = 0
        }

        private let state = NIOLockedValueBox(State())

        var calls: [[Int]] { state.withLockedValue { $0.calls } }
        var cancelled: Int { state.withLockedValue { $0.cancelled } }

        func run(_ keys: [Int]) async throws -> [Int: String] {
            let began = state.withLockedValue { state in
                state.calls.append(keys.sorted())
                defer { state.began = [] }
                return state.began
            }
            for continuation in began { continuation.resume() }
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    let isOpen = state.withLockedValue { state in
                        if !state.isOpen { state.held.append(continuation) }
                        return state.isOpen
                    }
                    if isOpen { continuation.resume() }
                }
            } onCancel: {
                state.withLockedValue { $0.cancelled += 1 }
                open()
            }
            return Dictionary(uniqueKeysWithValues: keys.map { ($0, "value \($0)") })
        }

        /// Counts callers that joined, and lets the load go with the last of `all`.
        func join(_ count: Int, of all: Int) {
            let isLast = state.withLockedValue { state in
                state.joined += count
                return state.joined == all
            }
            if isLast { open() }
        }

        func hasBegun() async {
            await withCheckedContinuation { continuation in
                let hasBegun = state.withLockedValue { state in
                    if state.calls.isEmpty { state.began.append(continuation) }
                    return !state.calls.isEmpty
                }
                if hasBegun { continuation.resume() }
            }
        }

        func open() {
            let held = state.withLockedValue { state in
                state.isOpen = true
                defer { state.held = [] }
                return state.held
            }
            for continuation in held { continuation.resume() }
        }
    }

    private struct Failed: Error {}

    @Test func `callers of one key share one load`() async throws {
        let flights = SingleFlight<Int, String>()
        let load = Load()
        try await withThrowingTaskGroup(of: [Int: String].self) { group in
            group.addTask { try await flights.values(of: [1, 2], joined: { _ in }, load: { try await load.run($0) }) }
            await load.hasBegun()
            for _ in 0..<50 {
                group.addTask {
                    try await flights.values(
                        of: [1],
                        joined: { load.join($0, of: 50) },
                        load: { try await load.run($0) }
                    )
                }
            }
            for try await values in group { #expect(values[1] == "value 1") }
        }
        #expect(load.calls == [[1, 2]])
    }

    @Test func `only what is not being loaded yet is loaded`() async throws {
        let flights = SingleFlight<Int, String>()
        let load = Load()
        async let first = flights.values(of: [1, 2], joined: { _ in }, load: { try await load.run($0) })
        await load.hasBegun()
        async let second = flights.values(
            of: [2, 3],
            joined: { count in
                #expect(count == 1)
                load.open()
            },
            load: { try await load.run($0) }
        )
        #expect(try await first.count == 2)
        #expect(try await second[3] == "value 3")
        #expect(load.calls == [[1, 2], [3]])
    }

    @Test func `an error reaches every caller and is not kept`() async throws {
        let flights = SingleFlight<Int, String>()
        await #expect(throws: Failed.self) {
            try await flights.values(of: [1], joined: { _ in }, load: { _ in throw Failed() })
        }
        let values = try await flights.values(of: [1], joined: { _ in }, load: { _ in [1: "again"] })
        #expect(values == [1: "again"])
    }

    @Test func `the caller who began a load may leave, and the others get the value`() async throws {
        let flights = SingleFlight<Int, String>()
        let load = Load()
        let first = Task { try await flights.values(of: [1], joined: { _ in }, load: { try await load.run($0) }) }
        await load.hasBegun()
        async let second = flights.values(of: [1], joined: { _ in first.cancel() }, load: { try await load.run($0) })
        await #expect(throws: CancellationError.self) { try await first.value }
        load.open()
        #expect(try await second == [1: "value 1"])
        #expect(load.cancelled == 0)
        #expect(load.calls == [[1]])
    }

    @Test func `a load that nobody waits for any more is cancelled, and nobody joins it`() async throws {
        let flights = SingleFlight<Int, String>()
        let load = Load()
        let only = Task { try await flights.values(of: [1], joined: { _ in }, load: { try await load.run($0) }) }
        await load.hasBegun()
        only.cancel()
        await #expect(throws: CancellationError.self) { try await only.value }
        let values = try await flights.values(of: [1], joined: { _ in }, load: { _ in [1: "fresh"] })
        #expect(values == [1: "fresh"])
        #expect(load.cancelled == 1)
    }

    @Test func `a load is under way for as long as somebody waits for it`() async throws {
        let flights = SingleFlight<Int, String>()
        let load = Load()
        #expect(!flights.isUnderWay(1))
        let first = Task { try await flights.values(of: [1], joined: { _ in }, load: { try await load.run($0) }) }
        await load.hasBegun()
        #expect(flights.isUnderWay(1))
        async let second = flights.values(of: [1], joined: { _ in first.cancel() }, load: { try await load.run($0) })
        await #expect(throws: CancellationError.self) { try await first.value }
        #expect(flights.isUnderWay(1))
        load.open()
        _ = try await second
        #expect(!flights.isUnderWay(1))
    }

    @Test func `a load that was given up is not under way, though it has not ended`() async throws {
        let flights = SingleFlight<Int, String>()
        let (ends, end) = AsyncStream.makeStream(of: Void.self)
        let (begins, begin) = AsyncStream.makeStream(of: Void.self)
        let only = Task {
            try await flights.values(of: [1], joined: { _ in }) { _ in
                begin.yield()
                await Task { for await _ in ends { break } }.value
                return [1: "too late"]
            }
        }
        for await _ in begins { break }
        #expect(flights.isUnderWay(1))
        only.cancel()
        await #expect(throws: CancellationError.self) { try await only.value }
        #expect(!flights.isUnderWay(1))
        end.yield()
    }

    @Test func `callers who come and go at once cancel nobody else's load`() async throws {
        let flights = SingleFlight<Int, String>()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for round in 0..<400 {
                let caller = Task {
                    try await flights.values(of: [round / 20], joined: { _ in }) { keys in
                        await Task.yield()
                        try Task.checkCancellation()
                        return Dictionary(uniqueKeysWithValues: keys.map { ($0, "value") })
                    }
                }
                if round.isMultiple(of: 2) {
                    caller.cancel()
                    group.addTask { _ = await caller.result }
                } else {
                    group.addTask {
                        let values = try await caller.value
                        #expect(values == [round / 20: "value"])
                    }
                }
            }
            try await group.waitForAll()
        }
    }
}
