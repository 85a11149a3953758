import Glibc

/// What this run is measured on.
enum Machine {
    /// How many cores there are.
    static var coreCount: Int { sysconf(Int32(_SC_NPROCESSORS_ONLN)) }
}
