import Glibc
import Synchronization

/// A file that records are added to, whole, and that whoever kills the process leaves intact.
final class RecordFile: Sendable {
    private let descriptor: Int32
    private let path: String

    init(path: String) throws {
        self.path = path
        descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw RecordFailure(path: path, number: errno) }
    }

    deinit {
        close(descriptor)
    }

    /// Adds bytes with one call: they are in the system's hands when it returns.
    func append(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 else { throw RecordFailure(path: path, number: errno) }
            rest = rest.dropFirst(count)
        }
    }

    /// All bytes of a file.
    static func contents(of path: String) throws -> [UInt8] {
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
struct RecordFailure: Error, CustomStringConvertible {
    var path: String
    var number: Int32

    var description: String { "\(path): \(String(cString: strerror(number)))" }
}
