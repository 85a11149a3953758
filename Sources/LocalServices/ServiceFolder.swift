import FoundationEssentials
import Glibc

/// A private folder of one server: data, configuration, sockets and log.
///
/// Nothing is ever written outside it.
///
/// Its path is short on purpose: the address of a unix socket has room for 107 bytes.
final class ServiceFolder: Sendable {
    /// Room left for the longest name of a socket inside (`/.s.PGSQL.5432`, `/redis.sock`) and the folder's own name.
    private static let longestParent = 70

    let path: String
    private let account: ServiceAccount

    init(account: ServiceAccount) throws(LocalServiceError) {
        let parent = Self.parent(for: account)
        var template = Array("\(parent)/freshet-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            throw LocalServiceError(
                .systemCallFailed,
                "no folder could be made in \(parent) (\(describe(errno))): make it writable or set TMPDIR"
            )
        }
        self.path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        self.account = account
        LiveServices.shared.add(folder: path)
        do {
            try own(path)
        } catch {
            remove()
            throw error
        }
    }

    /// `TMPDIR` where it is short enough and the account can pass through it, `/tmp` otherwise.
    private static func parent(for account: ServiceAccount) -> String {
        guard let pointer = getenv("TMPDIR") else { return "/tmp" }
        var candidate = String(cString: pointer)
        while candidate.hasSuffix("/") { candidate.removeLast() }
        guard candidate.hasPrefix("/"), candidate.utf8.count <= longestParent else { return "/tmp" }
        if account != .current {
            var passed = ""
            for component in candidate.split(separator: "/") {
                passed += "/\(component)"
                var status = stat()
                guard stat(passed, &status) == 0, status.st_mode & S_IXOTH != 0 else { return "/tmp" }
            }
        }
        return candidate
    }

    /// The path of `name` inside the folder.
    func file(_ name: String) -> String { "\(path)/\(name)" }

    /// Writes a file that the server's account owns.
    func write(_ text: String, to name: String, mode: mode_t = 0o600) throws(LocalServiceError) {
        try write(Array(text.utf8), to: name, mode: mode)
    }

    /// Writes a file that the server's account owns.
    func write(_ bytes: [UInt8], to name: String, mode: mode_t = 0o600) throws(LocalServiceError) {
        let target = file(name)
        let descriptor = open(target, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
        guard descriptor >= 0 else {
            throw LocalServiceError(.systemCallFailed, "\(target) could not be written: \(describe(errno))")
        }
        defer { close(descriptor) }
        var rest = bytes[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            guard written > 0 else {
                throw LocalServiceError(.systemCallFailed, "\(target) could not be written: \(describe(errno))")
            }
            rest = rest.dropFirst(written)
        }
        guard fchmod(descriptor, mode) == 0 else {
            throw LocalServiceError(.systemCallFailed, "\(target) could not be made private: \(describe(errno))")
        }
        try own(target)
    }

    /// Copies a file into the folder.
    func copy(_ source: String, to name: String) throws(LocalServiceError) {
        try write(readFile(source), to: name)
    }

    /// Removes one file, if it is there.
    func removeFile(_ name: String) throws(LocalServiceError) {
        let target = file(name)
        guard unlink(target) == 0 || errno == ENOENT else {
            throw LocalServiceError(.systemCallFailed, "\(target) could not be removed: \(describe(errno))")
        }
    }

    private func own(_ target: String) throws(LocalServiceError) {
        guard case .other(_, let user, let group) = account else { return }
        guard chown(target, user, group) == 0 else {
            throw LocalServiceError(.systemCallFailed, "\(target) could not be given away: \(describe(errno))")
        }
    }

    /// Deletes the folder with everything in it, once the server has ended.
    func remove() {
        if removeTree(path) {
            LiveServices.shared.remove(folder: path)
        }
    }
}

/// Deletes a folder with everything in it; false if something could not be deleted.
func removeTree(_ path: String) -> Bool {
    do {
        try FileManager.default.removeItem(atPath: path)
        return true
    } catch {
        return access(path, F_OK) != 0
    }
}

/// The bytes of a file.
func readFile(_ path: String) throws(LocalServiceError) -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
        throw LocalServiceError(.systemCallFailed, "\(path) could not be read: \(describe(errno))")
    }
    defer { close(descriptor) }
    var result: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = read(descriptor, &buffer, buffer.count)
        if count == 0 { return result }
        guard count > 0 else {
            throw LocalServiceError(.systemCallFailed, "\(path) could not be read: \(describe(errno))")
        }
        result += buffer[..<count]
    }
}

/// The operating system's word for an error number.
func describe(_ number: Int32) -> String {
    var buffer = [CChar](repeating: 0, count: 256)
    guard strerror_r(number, &buffer, buffer.count) == 0 else { return "error \(number)" }
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
