import Glibc

/// A value behind a lock of the C library.
///
/// Not `Synchronization.Mutex`, whose lock on Linux the thread sanitizer does not see: it reports a race for every
/// value that two threads take turns with, and no report can be believed any more.
///
/// `@unchecked Sendable` because the value is reached under the lock only.
final class Locked<Value: Sendable>: @unchecked Sendable {
    /// A raw pointer because the lock must not move in memory; it belongs to this object and is freed with it.
    private let lock: UnsafeMutablePointer<pthread_mutex_t>
    private var value: Value

    init(_ value: Value) {
        self.value = value
        lock = .allocate(capacity: 1)
        lock.initialize(to: pthread_mutex_t())
        let status = pthread_mutex_init(lock, nil)
        precondition(status == 0, "pthread_mutex_init: \(status)")
    }

    deinit {
        pthread_mutex_destroy(lock)
        lock.deallocate()
    }

    /// Lends the value for as long as the body runs, which must not take the same lock.
    func withLock<R>(_ body: (inout Value) throws -> R) rethrows -> R {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        return try body(&value)
    }
}
