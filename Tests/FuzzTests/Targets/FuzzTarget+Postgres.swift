import CLibPQ

@testable import FreshetCommand
@testable import Postgres

extension FuzzTarget {
    /// What libpq is given, and the text of what it returns.
    static let postgres: [FuzzTarget] = [connectionString, connectionSecret, integers, texts, number]

    private static let words = [
        "=", " ", "'", "\\", "password", "sslpassword=", "passfile", "host=", "port=", "postgresql://", "postgres://",
        "://", "@", ":",
        "/", "?", "&", "%40", "%00", "%", "[::1]", ",", "\t", "\n", secret,
    ]

    private static let connectionString = FuzzTarget(
        name: "conninfo",
        sound: [
            "host=db user=app password='two words' port=5433", "postgresql://app:p%40ss@[::1]:5432/x?sslmode=require",
            "postgres://a,b:5433/x?target_session_attrs=read-write", "",
        ],
        words: words,
        parse: { text in
            do throws(PostgresError) {
                _ = try ConnectionString(text)
            } catch {
                try require(error.code == .invalidConfiguration, "\(error.code)")
                try requireLine(error.message)
                return false
            }
            try require(text.allSatisfy(\.isWhitespace) || Parsed(text) != nil, "libpq does not read it")
            return true
        }
    )

    /// A connection string that may have the secret in a password, and what is made of it for people to read.
    private static let connectionSecret = FuzzTarget(
        name: "conninfo-secret",
        sound: [
            "host=db password=\(secret) user=app", "host=db PASSWORD = 'two \(secret) \\' words' user=app",
            "password=a\\ \(secret)", "postgresql://app:x\(secret)y@db/x",
            "postgresql://db/x?user=app&password=\(secret)&host=h",
            "postgres://app:a:\(secret)@db?sslpassword=1", "sslpassword=\(secret)",
        ].map { $0.replacing("PASSWORD", with: "password") },
        words: words,
        parse: { text in
            let parts = text.split(separator: secret, omittingEmptySubsequences: false)
            // Where it stands twice, one of the two may be a host or a user, which are no secrets.
            guard parts.count == 2 else { return false }
            if case .failure(let error) = Result(catching: { () throws(PostgresError) in try ConnectionString(text) }) {
                try require(!"\(error)".contains(secret), "a piece of \(text.debugDescription) in \(error)")
            }
            guard let parsed = Parsed(text), parsed.passwords.contains(where: { $0.contains(secret) }) else {
                return false
            }
            let configuration = PostgresConfiguration(connectionString: text)
            try require(
                !"\(configuration)".contains(secret),
                "the password of \(text.debugDescription) in \(configuration)"
            )
            // As an argument, which everybody on the machine can read.
            var argument = Array(text.utf8)
            for range in FreshetCommand.Redaction.secretRanges(in: argument, .argument) {
                for index in range { argument[index] = UInt8(ascii: "*") }
            }
            let painted = String(decoding: argument, as: UTF8.self)
            try require(!painted.contains(secret), "the password of \(text.debugDescription) in \(painted)")
            return true
        }
    )

    /// What libpq makes of a connection string.
    private struct Parsed {
        var passwords: [String] = []

        /// Nil where libpq does not read it.
        init?(_ text: String) {
            guard !text.utf8.contains(0), let options = PQconninfoParse(text, nil) else { return nil }
            defer { PQconninfoFree(options) }
            var option = options
            while let keyword = option.pointee.keyword {
                if String(cString: keyword).hasSuffix("password"), let value = option.pointee.val {
                    passwords.append(String(cString: value))
                }
                option += 1
            }
        }
    }

    private static let arrayWords = [
        "{", "}", ",", "\"", "\\", "NULL", "null", "[0:2]=", " ", "-9223372036854775808", "9223372036854775808",
    ]

    private static let integers = FuzzTarget(
        name: "integer-array",
        sound: ["{}", "{1,NULL,-3}", "[0:2]={1,2,3}", "{ 7 , \"8\" }"].map { Array($0.utf8) },
        words: arrayWords,
        parse: { bytes in
            let values: [Int64?]
            do { values = try ArrayText.decodeIntegers(bytes) } catch { return false }
            try require(
                try ArrayText.decodeIntegers(ArrayText.encode(integers: values).utf8) == values,
                "other integers"
            )
            try require(try ArrayText.decodeTexts(bytes).count == values.count, "another number of texts")
            return true
        }
    )

    private static let texts = FuzzTarget(
        name: "text-array",
        sound: ["{}", #"{a,"b,c",NULL,"NULL",""}"#, #"{"say \"hi\"","back\\slash","{x}"}"#, "{two words , ä€😀}"].map {
            Array($0.utf8)
        },
        words: arrayWords,
        parse: { bytes in
            let values: [String?]
            do { values = try ArrayText.decodeTexts(bytes) } catch { return false }
            try require(try ArrayText.decodeTexts(ArrayText.encode(texts: values).utf8) == values, "other texts")
            try require(values.count <= 1 + bytes.count / 2, "\(values.count) texts of \(bytes.count) bytes")
            return true
        }
    )

    private static let number = FuzzTarget(
        name: "integer",
        sound: ["0", "-0", "+5", "007", "9223372036854775807", "-9223372036854775808"],
        words: ["-", "+", "9", "0", " ", ".", "e", "٣"],
        parse: { text in
            let value = Number.int64(text.utf8)
            try require(value == Int64(text), "\(String(describing: value)) of \(text.debugDescription)")
            return value != nil
        }
    )
}
