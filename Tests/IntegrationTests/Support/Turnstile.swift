/// Lets so many tests through at once: each scenario takes a handful of connections and a worker, and the machines are small.
///
/// First come, first served: a test that wants to be alone is not overtaken by small ones for ever.
actor Turnstile {
    static let scenarios = Turnstile(width: 6)

    private let width: Int
    private var free: Int
    private var waiting: [(places: Int, continuation: CheckedContinuation<Void, Never>)] = []

    init(width: Int) {
        self.width = width
        free = width
    }

    /// Runs `body` when it is its turn; alone, where what it measures would suffer from company.
    nonisolated func pass<Value>(alone: Bool = false, _ body: () async throws -> Value) async rethrows -> Value {
        let places = alone ? width : 1
        await enter(places)
        do {
            let value = try await body()
            await leave(places)
            return value
        } catch {
            await leave(places)
            throw error
        }
    }

    private func enter(_ places: Int) async {
        if waiting.isEmpty, free >= places {
            free -= places
        } else {
            await withCheckedContinuation { waiting.append((places, $0)) }
        }
    }

    private func leave(_ places: Int) {
        free += places
        while let next = waiting.first, next.places <= free {
            free -= next.places
            waiting.removeFirst().continuation.resume()
        }
    }
}
