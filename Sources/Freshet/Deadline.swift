import Surroundings

/// Does something until a deadline; then it is cancelled.
///
/// - Throws: ``CacheError/Code/deadlineExceeded``, or what `body` throws.
func before<Result: Sendable>(
    _ deadline: ContinuousClock.Instant,
    _ surroundings: Surroundings,
    _ body: @escaping @Sendable () async throws -> Result
) async throws -> Result {
    return try await withThrowingTaskGroup(of: Result?.self) { group in
        group.addTask { try await body() }
        group.addTask {
            try await surroundings.sleep(until: deadline)
            return nil
        }
        defer { group.cancelAll() }
        guard let first = try await group.next(), let result = first else {
            throw CacheError(.deadlineExceeded, "no answer before the caller's deadline; give it more time")
        }
        return result
    }
}
