import Glibc

/// A clock that a server believes in and a test can set, by libfaketime.
///
/// Only the time of day is concerned; the clock that nobody sets goes on as it does.
public final class SteppableClock: Sendable {
    private let folder: ServiceFolder
    /// What a server needs to see to believe in this clock.
    public let environment: [String: String]

    /// A clock that is right; nil where libfaketime is not installed.
    ///
    /// - Throws: ``LocalServiceError``.
    public init?() throws {
        guard let library = Self.find("faketime/libfaketime.so.1"),
            // Debian's Redis allocates with jemalloc, which asks for the time while it is set up, when libfaketime is not
            // yet: glibc's allocator has to come first.
            let allocator = Self.find("libc_malloc_debug.so.0")
        else { return nil }
        folder = try ServiceFolder(account: .current)
        environment = [
            "LD_PRELOAD": "\(allocator):\(library)",
            "FAKETIME_TIMESTAMP_FILE": folder.file("clock"),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        ]
        try set(aheadBySeconds: 0)
    }

    /// Lets the clock go ahead of the machine's, or behind where negative.
    public func set(aheadBySeconds seconds: Int) throws {
        // A server may read at any moment: never half a file.
        try folder.write("\(seconds < 0 ? "-" : "+")\(abs(seconds))s\n", to: "clock.new")
        guard rename(folder.file("clock.new"), folder.file("clock")) == 0 else {
            throw LocalServiceError(.systemCallFailed, "the clock could not be set: \(describe(errno))")
        }
    }

    /// Deletes what the clock is kept in.
    public func destroy() {
        folder.remove()
    }

    private static func find(_ name: String) -> String? {
        ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/lib/x86_64-linux-gnu", "/usr/lib"]
            .map { "\($0)/\(name)" }
            .first { access($0, R_OK) == 0 }
    }
}
