/// A measured figure and what it is held to.
struct Bar {
    /// What a figure is held to.
    enum Limit {
        case atMost(Double)
        case atLeast(Double)
        /// Told, and held to nothing.
        case none
    }

    /// What was measured, in words.
    var name: String
    /// The figure: a ratio to something measured in the same run, or microseconds where the name says so.
    var figure: Double
    var limit: Limit
    /// What the figure came from.
    var origin: String
    /// The single runs that were measured, and those of what they are held against; nil where there are none.
    var measured: Distribution?
    var baseline: Distribution?
    /// What the figure is about, and further figures with their units in their names: for programs, and for the plots.
    var labels: [String: String] = [:]
    var figures: [String: Double] = [:]
    /// The benchmark that it is of, and what was the same on both sides.
    var benchmark = ""
    var heldEqual = ""
    /// How many cores it was measured on; nil where that was not written down.
    var cores: Int?

    var isMet: Bool {
        switch limit {
        case .atMost(let limit): figure <= limit
        case .atLeast(let limit): figure >= limit
        case .none: true
        }
    }
}

extension Bar: CustomStringConvertible {
    /// One line: the figure, its bar, what it is and where it came from.
    var description: String {
        let bar =
            switch limit {
            case .atMost(let limit): "≤ " + Self.text(limit)
            case .atLeast(let limit): "≥ " + Self.text(limit)
            case .none: "-"
            }
        let verdict =
            switch limit {
            case .none: "    "
            case .atMost, .atLeast: isMet ? "ok  " : "MISS"
            }
        let spread = [measured, baseline].compactMap { $0 }.map { "\($0)" }.joined(separator: " / ")
        return "\(verdict) \(Self.padded(Self.text(figure), 8)) \(Self.padded(bar, 7))  \(name): \(origin)"
            + (spread.isEmpty ? "" : "; \(spread)")
    }

    /// A number with two digits behind the point.
    static func text(_ number: Double) -> String {
        guard number.isFinite, abs(number) < 1e15 else { return "\(number)" }
        let hundredths = Int((abs(number) * 100).rounded())
        return (number < 0 && hundredths > 0 ? "-" : "") + "\(hundredths / 100)." + (hundredths % 100 < 10 ? "0" : "")
            + "\(hundredths % 100)"
    }

    private static func padded(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.count)) + text
    }
}

extension Bar: Codable {
    private enum Key: String, CodingKey {
        case name, figure, atMost = "at_most", atLeast = "at_least", isMet = "is_met", origin, measured, baseline,
            labels
        case figures, benchmark, heldEqual = "held_equal", cores
    }

    func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: Key.self)
        try values.encode(name, forKey: .name)
        // A figure that nothing was measured for is none.
        try values.encode(figure.isFinite ? figure : nil, forKey: .figure)
        switch limit {
        case .atMost(let limit): try values.encode(limit, forKey: .atMost)
        case .atLeast(let limit): try values.encode(limit, forKey: .atLeast)
        case .none: break
        }
        try values.encode(isMet, forKey: .isMet)
        try values.encode(origin, forKey: .origin)
        try values.encodeIfPresent(measured, forKey: .measured)
        try values.encodeIfPresent(baseline, forKey: .baseline)
        if !labels.isEmpty { try values.encode(labels, forKey: .labels) }
        if !figures.isEmpty { try values.encode(figures.filter(\.value.isFinite), forKey: .figures) }
        try values.encode(benchmark, forKey: .benchmark)
        try values.encode(heldEqual, forKey: .heldEqual)
        try values.encodeIfPresent(cores, forKey: .cores)
    }

    init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: Key.self)
        name = try values.decode(String.self, forKey: .name)
        figure = try values.decodeIfPresent(Double.self, forKey: .figure) ?? .nan
        if let most = try values.decodeIfPresent(Double.self, forKey: .atMost) {
            limit = .atMost(most)
        } else if let least = try values.decodeIfPresent(Double.self, forKey: .atLeast) {
            limit = .atLeast(least)
        } else {
            limit = .none
        }
        origin = try values.decode(String.self, forKey: .origin)
        measured = try values.decodeIfPresent(Distribution.self, forKey: .measured)
        baseline = try values.decodeIfPresent(Distribution.self, forKey: .baseline)
        labels = try values.decodeIfPresent([String: String].self, forKey: .labels) ?? [:]
        figures = try values.decodeIfPresent([String: Double].self, forKey: .figures) ?? [:]
        benchmark = try values.decodeIfPresent(String.self, forKey: .benchmark) ?? ""
        heldEqual = try values.decodeIfPresent(String.self, forKey: .heldEqual) ?? ""
        cores = try values.decodeIfPresent(Int.self, forKey: .cores)
    }
}
