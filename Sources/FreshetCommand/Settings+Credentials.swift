import Configuration
import Glibc

extension SettingsSource {
    /// The secrets that systemd hands to a service: files named `postgres`, `redis` and `audit-postgres` in
    /// `$CREDENTIALS_DIRECTORY`; nil where it handed over none.
    ///
    /// The line feed that an editor leaves at the end is no part of a secret.
    ///
    /// - Throws: ``Failure`` where one cannot be read, or is no text.
    static func credentials() throws(Failure) -> SettingsSource? {
        guard let folder = getenv("CREDENTIALS_DIRECTORY").map({ String(cString: $0) }), !folder.isEmpty else {
            return nil
        }
        return try credentials(in: folder)
    }

    /// The same, of another folder.
    static func credentials(in folder: String) throws(Failure) -> SettingsSource {
        var found: [AbsoluteConfigKey: ConfigValue] = [:]
        for key in SettingsKey.allCases where key.isSecret {
            let path = "\(folder)/\(key.rawValue)"
            guard access(path, F_OK) == 0 else { continue }
            guard let text = String(validating: try contents(of: path, "credential"), as: UTF8.self) else {
                throw Failure(.configuration, "credential \(path): is no UTF-8 text; write one line")
            }
            let line = text.prefix { !$0.isNewline }
            guard text.dropFirst(line.count).allSatisfy(\.isNewline) else {
                throw Failure(.configuration, "credential \(path): has more than one line; write one")
            }
            found[AbsoluteConfigKey([key.rawValue])] = ConfigValue(.string(String(line)), isSecret: true)
        }
        return SettingsSource(
            values: InMemoryProvider(values: found).snapshot(),
            name: { "credential \($0.rawValue)" },
            mistake: .configuration,
            ignoresEmpty: true
        )
    }
}
