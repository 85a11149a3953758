import Glibc

/// How long a process has used the processor, by the clock that the kernel keeps for it.
struct ProcessorClock: Sendable {
    private let clock: clockid_t

    init(of process: pid_t) throws {
        var clock = clockid_t()
        guard clock_getcpuclockid(process, &clock) == 0 else {
            throw NotWarm(description: "process \(process) has no clock")
        }
        self.clock = clock
    }

    /// User and system, since the process began.
    var microseconds: Double {
        get throws {
            var time = timespec()
            guard clock_gettime(clock, &time) == 0 else { throw NotWarm(description: "a process has ended") }
            return Double(time.tv_sec) * 1e6 + Double(time.tv_nsec) / 1e3
        }
    }
}
