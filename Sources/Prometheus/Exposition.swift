/// How names and values are written in the text format 0.0.4 of Prometheus.
enum Exposition {
    /// A name of a metric: letters, digits, `_` and `:`, not beginning with a digit.
    static func metricName(_ text: String) -> String { name(text, allowsColon: true) }

    /// A name of a label: letters, digits and `_`, not beginning with a digit, nor with the two `_` that are Prometheus' own.
    static func labelName(_ text: String) -> String {
        let name = name(text, allowsColon: false)
        guard name.hasPrefix("__") else { return name }
        return "_\(name.drop { $0 == "_" })"
    }

    static func escapedHelp(_ text: String) -> String {
        escaped(text, quotes: false)
    }

    static func escapedValue(_ text: String) -> String {
        escaped(text, quotes: true)
    }

    /// A number as Go reads it; a whole one without a point.
    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        if value == value.rounded(), abs(value) < 1e15 { return "\(Int64(value))" }
        return "\(value)"
    }

    private static func name(_ text: String, allowsColon: Bool) -> String {
        var name = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "a"..."z", "A"..."Z", "_": name.unicodeScalars.append(scalar)
            case "0"..."9":
                if name.isEmpty { name += "_" }
                name.unicodeScalars.append(scalar)
            case ":" where allowsColon: name += ":"
            default: name += "_"
            }
        }
        return name.isEmpty ? "_" : name
    }

    private static func escaped(_ text: String, quotes: Bool) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": escaped += "\\\\"
            case "\n": escaped += "\\n"
            case "\"" where quotes: escaped += "\\\""
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }
}
