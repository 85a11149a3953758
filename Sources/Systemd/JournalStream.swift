import Glibc

/// Whether a stream leads to the journal of systemd, which has a clock of its own and takes levels as `<6>` before a line.
public enum JournalStream {
    /// Whether standard error does.
    public static let isStandardError = leads(
        STDERR_FILENO,
        to: getenv("JOURNAL_STREAM").map { String(cString: $0) }
    )

    /// Whether a descriptor is the one that JOURNAL_STREAM names, by device and inode: the variable is inherited also by who
    /// writes elsewhere (`systemd-run … 2>file`).
    static func leads(_ descriptor: Int32, to stream: String?) -> Bool {
        var status = stat()
        guard let stream, fstat(descriptor, &status) == 0 else { return false }
        return stream == "\(status.st_dev):\(status.st_ino)"
    }
}
