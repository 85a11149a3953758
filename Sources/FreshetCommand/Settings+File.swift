import Configuration
import Glibc

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

extension SettingsSource {
    /// A JSON object with the names of the flags as keys: `{"redis": "rediss://cache.example", "log-level": "debug"}`.
    ///
    /// - Throws: ``Failure`` where the file cannot be read, is no JSON object, or has a key that is no setting.
    static func file(_ path: String) throws(Failure) -> SettingsSource {
        try file(path, holding: try contents(of: path))
    }

    /// The same, of a file that has been read.
    static func file(_ path: String, holding bytes: [UInt8]) throws(Failure) -> SettingsSource {
        let keys: FileKeys
        let values: any ConfigSnapshot
        do {
            keys = try JSONDecoder().decode(FileKeys.self, from: Data(bytes))
            values = try JSONSnapshot(data: bytes.span.bytes, providerName: path, parsingOptions: .default)
        } catch {
            throw Failure(.configuration, "--config \(path): is no JSON object; write {\"redis\": \"redis://…\"}")
        }
        let known = SettingsKey.allCases.map(\.rawValue)
        if let stranger = keys.names.sorted().first(where: { !known.contains($0) }) {
            throw Failure(
                .configuration,
                "--config \(path): \"\(stranger)\" is no setting; use \(known.joined(separator: ", "))"
            )
        }
        return SettingsSource(
            values: values,
            name: { "\(path), \($0.rawValue)" },
            mistake: .configuration,
            ignoresEmpty: false
        )
    }

    /// What a file holds, or why it cannot be read.
    static func contents(of path: String, _ what: String = "--config") throws(Failure) -> [UInt8] {
        func failure() -> Failure {
            let mend = errno == ENOENT ? "give the path of a file that exists" : "make it readable for this user"
            return Failure(
                errno == EACCES ? .permission : .configuration,
                "\(what) \(path): \(String(cString: strerror(errno))); \(mend)"
            )
        }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure() }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            if count == 0 { return bytes }
            guard count > 0 else { throw failure() }
            bytes += buffer[..<count]
        }
    }
}

/// The keys of a JSON object, whatever their values.
private struct FileKeys: Decodable {
    let names: [String]

    private struct Key: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }

        init?(stringValue: String) {
            self.stringValue = stringValue
        }

        init?(intValue: Int) { return nil }
    }

    init(from decoder: any Decoder) throws {
        names = try decoder.container(keyedBy: Key.self).allKeys.map(\.stringValue)
    }
}
