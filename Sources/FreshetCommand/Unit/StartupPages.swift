import Glibc
import InvalidationWorker
import Synchronization

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The pages of the executable that only the start of a worker needs.
///
/// A start runs once through much of the code (arguments, settings; each cast of a library looks at every type there is), and the
/// kernel maps what lies around each page that is touched. An idle worker uses a fifth of that. Unmapped, what is used again comes
/// back page by page, from the kernel's cache of the file.
final class StartupPages: Sendable {
    private let areReleased = Mutex(false)

    /// Takes what the worker tells: its start is over when it has drained the journal, or stands by.
    func note(_ event: WorkerEvent) {
        switch event {
        case .committed, .standingBy:
            let isFirst = areReleased.withLock { areReleased in
                defer { areReleased = true }
                return !areReleased
            }
            if isFirst { Self.release() }
        case .applied, .distrusting, .failing, .leading, .vouched: break
        }
    }

    /// Unmaps the code of the executable, where the kernel says where it is.
    private static func release() {
        guard let executable = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"),
            let maps = FileManager.default.contents(atPath: "/proc/self/maps")
        else { return }
        // As in proc(5): from-to permissions offset device inode path.
        for line in String(decoding: maps, as: UTF8.self).split(separator: "\n") {
            let fields = line.split(separator: " ", maxSplits: 5)
            // Code alone: it is as in the file. What else is mapped from there has addresses filled in, which would be lost.
            guard fields.count == 6, fields[1] == "r-xp", fields[5].drop(while: { $0 == " " }) == executable else {
                continue
            }
            let bounds = fields[0].split(separator: "-").compactMap { UInt(String($0), radix: 16) }
            guard bounds.count == 2, let start = UnsafeMutableRawPointer(bitPattern: bounds[0]) else { continue }
            madvise(start, Int(bounds[1] - bounds[0]), MADV_DONTNEED)
        }
    }
}
