// Everybody on a machine can read everybody's command line (ps, /proc/PID/cmdline). A password given there is therefore
// painted over as soon as the arguments have been copied. Between exec and that moment it can still be seen, and the shell
// may keep it in its history: the help recommends the environment or a file, and this is for those who do not read it.

import Glibc

/// Paints over the passwords in this process's command line.
enum ArgumentScrubber {
    /// - Returns: The arguments as they were given.
    static func takeArguments() -> [String] {
        let arguments = CommandLine.arguments
        scrub()
        return arguments
    }

    private static func scrub() {
        guard let visible = contents(of: "/proc/self/cmdline"), let start = argumentStart() else { return }
        // The kernel shows this memory to others and Swift works on a copy, so nothing else looks at it. It is touched only
        // where it holds, byte for byte, what the kernel shows.
        guard let memory = UnsafeMutablePointer<UInt8>(bitPattern: start),
            visible.indices.allSatisfy({ memory[$0] == visible[$0] })
        else { return }
        var argumentStart = 0
        for argument in visible.split(separator: 0, omittingEmptySubsequences: false) {
            for range in Redaction.secretRanges(in: Array(argument), .argument) {
                for index in range { memory[argumentStart + index] = UInt8(ascii: "*") }
            }
            argumentStart += argument.count + 1
        }
    }

    /// Where the arguments lie: `arg_start`, field 48 of /proc/self/stat.
    private static func argumentStart() -> UInt? {
        guard let bytes = contents(of: "/proc/self/stat") else { return nil }
        // The second field, the name, is in parentheses and may hold anything.
        let fields = String(decoding: bytes, as: UTF8.self).split(separator: ")").last?.split(separator: " ") ?? []
        return fields.count > 45 ? UInt(fields[45]) : nil
    }

    private static func contents(of path: String) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var result: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4_096)
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            if count == 0 { return result }
            guard count > 0 else { return nil }
            result += buffer[..<count]
        }
    }
}
