// How a program is made to believe in another time of day: a shared object that is loaded before libc and answers what asks for it with
// an offset that lies in a file that both have mapped. These are the ways to ask: gettimeofday(), which Redis and Postgres go,
// clock_gettime() of the real-time clocks, which Swift goes, and time().
//
// All other clocks are answered by the kernel, as they are: CLOCK_MONOTONIC and CLOCK_BOOTTIME, by which programs measure and wait, and
// by which tests record what happened, go on as if nothing had been set. As with a clock that is set, what waits for a while waits for as
// long as before; where it names the end of the wait by the time of day (sem_timedwait(), in which the threads of Dispatch idle), the
// offset is taken out again, because the kernel knows nothing of it. pthread_cond_timedwait() is left alone, because it does not say by
// which clock it waits: a program that waits so with the real-time clock waits for longer while this one is ahead, and not at
// all while it is behind. Neither Redis nor Postgres does; for a program of which nobody knows, let the clock be ahead only.
//
// It is compiled when it is needed, because it has to be C, and of use to nobody but such a program. Rejected: libfaketime, which cannot
// be loaded into a server that allocates with jemalloc, guards each call with a semaphore that a killed child takes with it,
// and leaves shared memory behind; time namespaces, which have no time of day.

import Glibc

/// A clock that the programs of one host believe in and a test can set.
///
/// Only the time of day is concerned; the clock that nobody sets goes on as it does.
public final class SteppableClock: Sendable {
    private static let source = """
        #define _GNU_SOURCE
        #include <fcntl.h>
        #include <semaphore.h>
        #include <stdint.h>
        #include <stdlib.h>
        #include <sys/mman.h>
        #include <sys/syscall.h>
        #include <sys/time.h>
        #include <time.h>
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

        int clock_gettime(clockid_t clock, struct timespec *now) {
            int result = syscall(SYS_clock_gettime, clock, now);
            if (result == 0 && ahead && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += *ahead;
            return result;
        }

        time_t time(time_t *seconds) {
            struct timespec now = {0};
            clock_gettime(CLOCK_REALTIME_COARSE, &now);
            if (seconds) *seconds = now.tv_sec;
            return now.tv_sec;
        }

        int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict end) {
            struct timespec real = *end;
            if (ahead) real.tv_sec -= *ahead;
            return sem_clockwait(semaphore, CLOCK_REALTIME, &real);
        }
        """

    private let folder: ServiceFolder
    private let name: String

    /// What a program needs to see to believe in this clock.
    public var environment: [String: String] {
        ["LD_PRELOAD": folder.file("clock.so"), "FRESHET_CLOCK": folder.file(name)]
    }

    /// - Parameter name: Of the file that it is kept in.
    private init(_ folder: ServiceFolder, name: String) throws(LocalServiceError) {
        self.folder = folder
        self.name = name
        // Before anybody has it mapped: a file that is cut to nothing takes the page away from those who have.
        try folder.write([UInt8](repeating: 0, count: MemoryLayout<Int64>.size), to: name)
    }

    /// A clock that is right; nil where there is no C compiler.
    ///
    /// - Parameter isForPostgres: Whether a ``LocalPostgres`` is to read it, which runs as another user where this process is root.
    /// - Throws: ``LocalServiceError``.
    public static func make(isForPostgres: Bool = false) async throws -> SteppableClock? {
        let folder = try ServiceFolder(account: isForPostgres ? .forPostgres() : .current)
        do {
            let clock = try SteppableClock(folder, name: "clock")
            try folder.write(source, to: "clock.c")
            // Swift brings clang.
            for compiler in ["clang", "cc"] {
                do {
                    _ = try await Tool.run(
                        compiler,
                        ["-shared", "-fPIC", "-o", folder.file("clock.so"), folder.file("clock.c")],
                        package: "gcc"
                    )
                    // Compiled by this user, whatever its umask; the folder lets nobody else pass.
                    guard chmod(folder.file("clock.so"), 0o755) == 0 else {
                        throw LocalServiceError(
                            .systemCallFailed,
                            "\(folder.file("clock.so")) could not be made readable: \(describe(errno))"
                        )
                    }
                    return clock
                } catch let error as LocalServiceError where error.code == .notInstalled {
                    continue
                }
            }
        } catch {
            folder.remove()
            throw error
        }
        folder.remove()
        return nil
    }

    /// A clock of another host, which is right.
    ///
    /// It is kept beside this one, and goes with it.
    ///
    /// - Parameter host: The host's name, which is the name of a file.
    /// - Throws: ``LocalServiceError``.
    public func another(for host: String) throws -> SteppableClock {
        try SteppableClock(folder, name: "clock-\(host)")
    }

    /// Lets the clock go ahead of the machine's, or behind where negative.
    ///
    /// Programs that run see it at once.
    public func set(aheadBySeconds seconds: Int) throws {
        let path = folder.file(name)
        let descriptor = open(path, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw LocalServiceError(.systemCallFailed, "\(path) could not be opened: \(describe(errno))")
        }
        defer { close(descriptor) }
        // In place, and in one piece: programs have the file mapped.
        let count = withUnsafeBytes(of: Int64(seconds)) { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
        guard count == MemoryLayout<Int64>.size else {
            throw LocalServiceError(.systemCallFailed, "\(path) could not be written: \(describe(errno))")
        }
    }

    /// Deletes what the clock is kept in, once the programs have ended.
    public func destroy() {
        folder.remove()
    }
}
