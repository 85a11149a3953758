// How a server is made to believe in another time of day: a shared object that is loaded before libc and answers gettimeofday(), which is
// what Redis asks, with an offset that lies in a file that both have mapped.
//
// It is compiled when it is needed, because it has to be C, and of use to nobody but such a server. Rejected: libfaketime, which cannot
// be loaded into a server that allocates with jemalloc, guards each call with a semaphore that a killed child takes with it,
// and leaves shared memory behind; time namespaces, which have no time of day.

import Glibc

/// A clock that a server believes in and a test can set.
///
/// Only the time of day is concerned; the clock that nobody sets goes on as it does.
public final class SteppableClock: Sendable {
    private static let source = """
        #define _GNU_SOURCE
        #include <fcntl.h>
        #include <stdint.h>
        #include <stdlib.h>
        #include <sys/mman.h>
        #include <sys/syscall.h>
        #include <sys/time.h>
        #include <unistd.h>

        static volatile int64_t *ahead;

        __attribute__((constructor)) static void map_clock(void) {
            const char *path = getenv("FRESHET_CLOCK");
            int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
            if (file < 0) return;
            void *page = mmap(0, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
            close(file);
            if (page != MAP_FAILED) ahead = page;
        }

        int gettimeofday(struct timeval *restrict now, void *restrict zone) {
            int result = syscall(SYS_gettimeofday, now, zone);
            if (result == 0 && ahead) now->tv_sec += *ahead;
            return result;
        }
        """

    private let folder: ServiceFolder
    /// What a server needs to see to believe in this clock.
    public let environment: [String: String]

    private init(_ folder: ServiceFolder) {
        self.folder = folder
        environment = ["LD_PRELOAD": folder.file("clock.so"), "FRESHET_CLOCK": folder.file("clock")]
    }

    /// A clock that is right; nil where there is no C compiler.
    ///
    /// - Throws: ``LocalServiceError``.
    public static func make() async throws -> SteppableClock? {
        let clock = SteppableClock(try ServiceFolder(account: .current))
        do {
            try clock.folder.write(source, to: "clock.c")
            try clock.set(aheadBySeconds: 0)
            // Swift brings clang.
            for compiler in ["clang", "cc"] {
                do {
                    _ = try await Tool.run(
                        compiler,
                        ["-shared", "-fPIC", "-o", clock.folder.file("clock.so"), clock.folder.file("clock.c")],
                        package: "gcc"
                    )
                    return clock
                } catch let error as LocalServiceError where error.code == .notInstalled {
                    continue
                }
            }
        } catch {
            clock.destroy()
            throw error
        }
        clock.destroy()
        return nil
    }

    /// Lets the clock go ahead of the machine's, or behind where negative.
    ///
    /// Servers that run see it at once.
    public func set(aheadBySeconds seconds: Int) throws {
        let path = folder.file("clock")
        let descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw LocalServiceError(.systemCallFailed, "\(path) could not be opened: \(describe(errno))")
        }
        defer { close(descriptor) }
        // In place, and in one piece: servers have the file mapped.
        let count = withUnsafeBytes(of: Int64(seconds)) { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
        guard count == MemoryLayout<Int64>.size else {
            throw LocalServiceError(.systemCallFailed, "\(path) could not be written: \(describe(errno))")
        }
    }

    /// Deletes what the clock is kept in, once the servers have ended.
    public func destroy() {
        folder.remove()
    }
}
