// SIGKILL can cut a write short, and behind a record that was cut nobody could tell where the next one begins. So nothing comes
// behind it: each start of a process has a file of its own, and within a process no write begins before the last one has
// returned, which it does not do in a process that is being killed.

import Glibc
import Synchronization

/// A file that one start of a process adds records to, of which only the last may not be whole.
public final class RecordFile: Sendable {
    private let descriptor: Int32
    private let path: String
    /// Whether a write has failed, perhaps halfway: nothing comes behind that either.
    private let hasFailed = Mutex(false)

    /// A file that is not there yet.
    ///
    /// - Throws: ``RecordFailure``.
    public init(path: String) throws {
        self.path = path
        descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw RecordFailure(path: path, number: errno) }
    }

    /// The file of one more start: `<path>.1` for the first, `<path>.2` for the next.
    ///
    /// - Throws: ``RecordFailure``.
    public convenience init(nextOf path: String) throws {
        try self.init(path: "\(path).\(Self.paths(of: path).count + 1)")
    }

    deinit {
        close(descriptor)
    }

    /// The files of all starts so far, in order.
    public static func paths(of path: String) -> [String] {
        let numbered = (1...).lazy.map { "\(path).\($0)" }
        return Array(numbered.prefix { access($0, F_OK) == 0 })
    }

    /// Adds bytes: they are in the system's hands when it returns.
    ///
    /// - Throws: ``RecordFailure``.
    public func append(_ bytes: [UInt8]) throws {
        try hasFailed.withLock { hasFailed in
            guard !hasFailed else { throw RecordFailure(path: path, number: EIO) }
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
                hasFailed = count <= 0
                guard !hasFailed else { throw RecordFailure(path: path, number: errno) }
                rest = rest.dropFirst(count)
            }
        }
    }

    /// All bytes of a file.
    ///
    /// - Throws: ``RecordFailure``.
    public static func contents(of path: String) throws -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw RecordFailure(path: path, number: errno) }
        defer { close(descriptor) }
        let size = Int(lseek(descriptor, 0, SEEK_END))
        lseek(descriptor, 0, SEEK_SET)
        var length = 0
        var failure: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            while length < size {
                let read = read(descriptor, buffer.baseAddress?.advanced(by: length), size - length)
                if read < 0 { failure = errno }
                guard read > 0 else { break }
                length += read
            }
            count = length
        }
        guard failure == 0 else { throw RecordFailure(path: path, number: failure) }
        return bytes
    }
}

/// A file of records could not be written or read.
public struct RecordFailure: Error, CustomStringConvertible {
    /// Which file.
    public var path: String
    /// The system's number of the error.
    public var number: Int32

    /// A failure.
    public init(path: String, number: Int32) {
        self.path = path
        self.number = number
    }

    /// One line.
    public var description: String { "\(path): \(String(cString: strerror(number)))" }
}
