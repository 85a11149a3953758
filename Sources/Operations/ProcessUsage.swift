import Glibc

/// What this process takes from its machine, as the kernel counts it.
struct ProcessUsage: Hashable, Sendable {
    var residentBytes: Int64
    var virtualBytes: Int64
    /// User and system.
    var cpuSeconds: Double
    var openFiles: Int64
    var maximumFiles: Int64?
    /// Since 1970.
    var startSeconds: Double

    /// Now; nil where the kernel does not say.
    static func current() -> ProcessUsage? {
        guard let stat = read("/proc/self/stat"), let system = read("/proc/stat"), let end = stat.lastIndex(of: ")")
        else {
            return nil
        }
        // Behind the name, which may hold anything, from the third field on.
        let fields = stat[stat.index(after: end)...].split(separator: " ")
        func field(_ number: Int) -> Double? {
            let place = number - 3
            return fields.indices.contains(place) ? Double(fields[place]) : nil
        }
        let ticks = Double(sysconf(Int32(_SC_CLK_TCK)))
        let page = Int64(sysconf(Int32(_SC_PAGESIZE)))
        let boot = system.split(separator: "\n").first { $0.hasPrefix("btime ") }.flatMap { Double($0.dropFirst(6)) }
        guard ticks > 0, let user = field(14), let kernel = field(15), let start = field(22), let virtual = field(23),
            let resident = field(24), let boot
        else { return nil }
        var limit = rlimit()
        let hasLimit =
            getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 && limit.rlim_cur != .max
        return ProcessUsage(
            residentBytes: Int64(resident) * page,
            virtualBytes: Int64(virtual),
            cpuSeconds: (user + kernel) / ticks,
            openFiles: countEntries(of: "/proc/self/fd"),
            maximumFiles: hasLimit ? Int64(exactly: limit.rlim_cur) : nil,
            startSeconds: boot + start / ticks
        )
    }

    private static func read(_ path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 8_192)
        while true {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            guard count > 0 else { return count == 0 ? String(decoding: bytes, as: UTF8.self) : nil }
            bytes += buffer[..<count]
        }
    }

    private static func countEntries(of path: String) -> Int64 {
        guard let folder = opendir(path) else { return 0 }
        defer { closedir(folder) }
        var count: Int64 = 0
        while readdir(folder) != nil { count += 1 }
        // The two dots, and the folder itself.
        return max(count - 3, 0)
    }
}
