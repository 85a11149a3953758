import Surroundings

#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// A moment on the clock of this machine that nobody sets, and that goes on while the machine sleeps.
///
/// With a clock that stops, a promise would sleep too, and wake up valid. It is the clock behind `ContinuousClock`, as one
/// number: `ContinuousClock.Instant` has a layout that is known at run time only, which a hit would pay for.
struct LocalTime: Hashable, Comparable, Sendable {
    /// Counted from a moment that differs from machine to machine.
    var nanoseconds: Int64

    /// Now, on the clock of these surroundings.
    @inline(__always)
    static func now(_ surroundings: Surroundings) -> LocalTime {
        surroundings.simulatedNanoseconds.map { LocalTime(nanoseconds: $0) } ?? .now
    }

    static var now: LocalTime {
        var time = timespec()
        #if canImport(Darwin)
            clock_gettime(CLOCK_MONOTONIC, &time)
        #else
            clock_gettime(CLOCK_BOOTTIME, &time)
        #endif
        return LocalTime(nanoseconds: Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec))
    }

    static func + (time: LocalTime, duration: Duration) -> LocalTime {
        let (seconds, attoseconds) = duration.components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, overflowToo) = time.nanoseconds.addingReportingOverflow(
            product &+ attoseconds / 1_000_000_000
        )
        return LocalTime(nanoseconds: overflow || overflowToo ? (seconds < 0 ? .min : .max) : sum)
    }

    @inline(__always)
    static func < (left: LocalTime, right: LocalTime) -> Bool {
        left.nanoseconds < right.nanoseconds
    }
}
