@testable import FreshetCommand

extension FuzzTarget {
    /// What people configure.
    static let settings: [FuzzTarget] = [file, environment, tableName]

    private static let secretURL = "redis://ada:\(secret)@cache.example:6380/3"

    private static let file = FuzzTarget(
        name: "settings-file",
        sound: [
            #"{"redis": "\#(secretURL)", "postgres": "host=db password=\#(secret)", "log-level": "debug"}"#,
            #"{"prefix": "p", "namespace": "n", "lease-seconds": 5.5, "degraded-seconds": 0, "detector-table": "a.\"B\""}"#,
            "{}",
        ].map { Array($0.utf8) },
        words: SettingsKey.allCases.map { "\"\($0.rawValue)\"" } + [
            "\"", ":", ",", "{", "}", "[", "null", "true", "1e999", "-1", "86401", "\\u0000", "\\n",
            String(repeating: "[", count: 600),
            secretURL,
        ],
        parse: { bytes in
            try read(hides: String(decoding: bytes, as: UTF8.self)) { () throws(Failure) in
                try Settings([try SettingsSource.file("settings.json", holding: bytes)])
            }
        }
    )

    /// Variables, one a line.
    private static let environment = FuzzTarget(
        name: "settings-environment",
        sound: [
            "FRESHET_REDIS=\(secretURL)\nFRESHET_POSTGRES=host=db password=\(secret)\nFRESHET_LOG_LEVEL=debug",
            "FRESHET_LEASE_SECONDS=5.5\nFRESHET_DEGRADED_SECONDS=0\nFRESHET_PREFIX=\nFRESHET_LINK_TABLE=public.link",
        ],
        words: SettingsKey.allCases.map { "\nFRESHET_\($0.rawValue.uppercased().replacing("-", with: "_"))=" } + [
            "=", "\n", "1e999", "nan", "-1", "86401", "\u{0}", secretURL,
        ],
        parse: { text in
            var variables: [String: String] = [:]
            for line in text.split(separator: "\n") {
                let name = line.prefix { $0 != "=" }
                variables[String(name)] = String(line.dropFirst(name.count + 1))
            }
            return try read(hides: text) { [variables] () throws(Failure) in
                try Settings([SettingsSource.environment(variables)])
            }
        }
    )

    /// Holds what is said of unusable settings against the rules.
    private static func read(hides text: String, _ settings: () throws(Failure) -> Settings) throws -> Bool {
        do throws(Failure) {
            _ = try settings()
            return true
        } catch {
            try requireLine(error.message)
            if hasPassword(text) { try require(!error.message.contains(secret), "a password: \(error)") }
            return false
        }
    }

    /// Whether the secret stands only where a URL has its password.
    private static func hasPassword(_ text: String) -> Bool {
        let pieces = text.split(separator: secret, omittingEmptySubsequences: false)
        return pieces.count > 1
            && zip(pieces, pieces.dropFirst()).allSatisfy { before, after in
                let (head, tail) = (before.suffix(4), after.prefix(1))
                return head == "ada:" && before.hasSuffix("://ada:") && tail == "@"
            }
    }

    private static let tableName = FuzzTarget(
        name: "table-name",
        sound: ["detector", "public.Detector", "\"My Schema\".\"a \"\"b\"\".c\"", "_x$1"],
        words: [".", "\"", "\"\"", " ", "$", "İ", "\u{0}"],
        parse: { text in
            guard let name = TableName(text) else { return false }
            try require(TableName(name.sql) == name, "\(name.sql) is another table")
            return true
        }
    )
}
