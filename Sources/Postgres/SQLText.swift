/// Names and texts as they must be written inside a statement, where a parameter cannot stand.
public enum SQLText {
    /// A name in double quotes: `"workflow"`.
    public static func identifier(_ name: String) -> String {
        quoted(name, with: "\"")
    }

    /// A name of two parts, each in double quotes: `"public"."workflow"`.
    public static func identifier(_ schema: String, _ name: String) -> String {
        identifier(schema) + "." + identifier(name)
    }

    /// A text in single quotes, safe whatever `standard_conforming_strings` says.
    public static func literal(_ text: String) -> String {
        guard text.utf8.contains(UInt8(ascii: "\\")) else { return quoted(text, with: "'") }
        var escaped = ""
        for scalar in text.unicodeScalars {
            if scalar == "\\" { escaped.unicodeScalars.append(scalar) }
            escaped.unicodeScalars.append(scalar)
        }
        return " E" + quoted(escaped, with: "'")
    }

    private static func quoted(_ text: String, with mark: Unicode.Scalar) -> String {
        var quoted = String.UnicodeScalarView()
        quoted.append(mark)
        for scalar in text.unicodeScalars {
            if scalar == mark { quoted.append(mark) }
            quoted.append(scalar)
        }
        quoted.append(mark)
        return String(quoted)
    }
}
