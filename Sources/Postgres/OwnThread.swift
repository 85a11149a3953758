import Glibc

/// Starts threads for C calls that block, which must not hold a thread of Swift's cooperative pool.
enum OwnThread {
    /// Runs the body on a detached thread that ends with it.
    static func start(_ body: @escaping @Sendable () -> Void) throws(PostgresError) {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        // Enough for name resolution and a TLS handshake, and sixteen times less than the default.
        pthread_attr_setstacksize(&attributes, 512 * 1024)
        // An unmanaged reference because pthread_create takes one pointer; the new thread takes the ownership over.
        let argument = Unmanaged.passRetained(Box(body: body)).toOpaque()
        var thread = pthread_t()
        let status = pthread_create(
            &thread,
            &attributes,
            { argument in
                guard let argument else { return nil }
                let box = Unmanaged<Box>.fromOpaque(argument).takeRetainedValue()
                // Signals are for the threads that expect them.
                var signals = sigset_t()
                sigfillset(&signals)
                pthread_sigmask(SIG_SETMASK, &signals, nil)
                box.body()
                return nil
            },
            argument
        )
        guard status == 0 else {
            Unmanaged<Box>.fromOpaque(argument).release()
            throw PostgresError(
                .resourcesExhausted,
                "no thread can be started for a connection to Postgres (\(String(cString: strerror(status)))); "
                    + "raise the limit on processes or open fewer connections"
            )
        }
    }

    private final class Box: Sendable {
        let body: @Sendable () -> Void

        init(body: @escaping @Sendable () -> Void) {
            self.body = body
        }
    }
}
