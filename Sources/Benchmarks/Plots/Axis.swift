import Glibc

/// How numbers become places along a line.
struct Axis {
    enum Kind {
        case linear, logarithmic
    }

    let kind: Kind
    /// The numbers at both ends.
    let range: ClosedRange<Double>
    /// The places of the ends.
    let places: (Double, Double)
    /// The numbers that are written beside it.
    let ticks: [Double]

    /// An axis whose ends are round numbers, with all values between them.
    ///
    /// A linear one begins at 0; a logarithmic one has room for positive values alone.
    init(_ kind: Kind, of values: [Double], places: (Double, Double)) {
        self.kind = kind
        self.places = places
        let values = values.filter { $0.isFinite && (kind == .linear || $0 > 0) }
        let (least, most) = (values.min() ?? 1, values.max() ?? 1)
        switch kind {
        case .linear:
            let step = Self.step(for: max(most, .leastNormalMagnitude))
            let count = max(1, (most / step).rounded(.up))
            range = 0...(step * count)
            ticks = (0...Int(count)).map { Double($0) * step }
        case .logarithmic:
            let (first, last) = (log10(least).rounded(.down), log10(most).rounded(.up))
            let exponents = Int(first)...Int(max(last, first + 1))
            ticks = exponents.map { pow(10, Double($0)) }
            range = ticks[0]...ticks[ticks.count - 1]
        }
    }

    /// Where a number stands.
    func place(of number: Double) -> Double {
        let share =
            switch kind {
            case .linear: (number - range.lowerBound) / (range.upperBound - range.lowerBound)
            case .logarithmic: log10(number / range.lowerBound) / log10(range.upperBound / range.lowerBound)
            }
        return places.0 + share * (places.1 - places.0)
    }

    /// One, two or five times a power of ten, of which three to five make up a number.
    private static func step(for most: Double) -> Double {
        let power = pow(10, log10(most / 4).rounded(.down))
        return [1, 2, 5, 10].map { $0 * power }.first { most / $0 <= 5 } ?? power * 10
    }
}
