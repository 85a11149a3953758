import Testing

@testable import FreshetCommand

/// Inputs that once broke something of the command line, each with what came of it.
///
/// Those that broke a part stand with the tests of that part.
@Suite struct FoundInputTests {
    private func message(_ settings: () throws(Failure) -> SettingsSource) -> String {
        do throws(Failure) {
            _ = try Settings([try settings()])
            return ""
        } catch {
            return error.message
        }
    }

    @Test func `a control character that somebody has pasted reaches no terminal`() {
        let json = Array("{\"degraded-\u{7F}\\u001B[1meconds\": 1}".utf8)
        #expect(
            message { () throws(Failure) in try SettingsSource.file("f", holding: json) }
                .hasPrefix("--config f: \"degraded-  [1meconds\" is no setting; ")
        )
        #expect(
            message { () throws(Failure) in SettingsSource.environment(["FRESHET_LOG_LEVEL": "\u{9B}31m"]) }
                .hasPrefix("FRESHET_LOG_LEVEL \" 31m\": is no level; ")
        )
        #expect(
            message { () throws(Failure) in SettingsSource.environment(["FRESHET_REDIS": "redis://ada\0\0h"]) }
                == "FRESHET_REDIS: Redis URL \"redis://ada  h\": it contains white space; remove it, or write it as %20"
        )
    }

    @Test(arguments: [
        ("postgresql://app:xhunter2 y@db/x", "postgresql://app:**********@db/x"),
        ("password=a&hunter2 user=app", "password=********* user=app"),
        ("password=a\"hunter2 user=app", "password=********* user=app"),
        ("password\t=\n'hunter2' user=app", "password\t=\n********* user=app"),
        ("postgresql://db/x?p%61ssword=hunter2", "postgresql://db/x?p%61ssword=*******"),
    ])
    func `a password among the arguments is painted over as far as libpq reads it`(text: String, expected: String) {
        var bytes = Array(text.utf8)
        for range in Redaction.secretRanges(in: bytes, .argument) {
            for index in range { bytes[index] = UInt8(ascii: "*") }
        }
        #expect(String(decoding: bytes, as: UTF8.self) == expected)
    }
}
