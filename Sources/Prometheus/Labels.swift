/// The labels of one series, sorted, with names that Prometheus allows.
struct Labels: Hashable, Sendable, Comparable {
    let pairs: [Pair]

    struct Pair: Hashable, Sendable {
        var name: String
        var value: String
    }

    init(_ dimensions: [(String, String)]) {
        var byName: [String: String] = [:]
        for (name, value) in dimensions { byName[Exposition.labelName(name)] = value }
        pairs = byName.map { Pair(name: $0.key, value: $0.value) }.sorted { $0.name < $1.name }
    }

    private init(pairs: [Pair]) {
        self.pairs = pairs
    }

    /// The same names, for whatever has no series of its own.
    var asOther: Labels { Labels(pairs: pairs.map { Pair(name: $0.name, value: "other") }) }

    /// `{name="value",…}`, with one more behind them; empty where there is none.
    func text(_ last: (name: String, value: String)? = nil) -> String {
        var parts = pairs.map { "\($0.name)=\"\(Exposition.escapedValue($0.value))\"" }
        if let last { parts.append("\(last.name)=\"\(last.value)\"") }
        return parts.isEmpty ? "" : "{\(parts.joined(separator: ","))}"
    }

    static func < (left: Labels, right: Labels) -> Bool {
        for (one, other) in zip(left.pairs, right.pairs) where one != other {
            return (one.name, one.value) < (other.name, other.value)
        }
        return left.pairs.count < right.pairs.count
    }
}
