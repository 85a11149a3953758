// How many nines an audit has shown.
//
// n entries were held against the database and k were wrong. The exact upper bound, at one-sided confidence c, for the rate of wrong
// entries is the p at which k or fewer would be seen with probability 1 − c: C. J. Clopper and E. S. Pearson, "The use of confidence or
// fiducial limits illustrated in the case of the binomial", Biometrika 26 (1934). It is the c-quantile of the beta distribution
// with k + 1 and n − k. For k = 0 it is 1 − (1 − c)^(1/n), about 3/n at 95 %: the rule of three, J. A. Hanley and A. Lippman-Hand,
// "If nothing goes wrong, is everything all right?", JAMA 249 (1983).
//
// The regularised incomplete beta function is computed by its continued fraction, NIST DLMF 8.17.22, by the modified method of Lentz
// (W. H. Press et al., Numerical Recipes, 6.4).
//
// It holds for entries that were chosen independently of whether they are wrong, which the sample is. After an audit of every entry
// it is a statement about the process that filled the cache, not about these entries, which are known.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// An upper bound for the rate of wrong entries.
package struct ErrorRateBound: Hashable, Sendable {
    /// How many were held against the database.
    package let checked: Int
    /// How many of them were wrong.
    package let wrong: Int

    /// The confidence, one-sided.
    package static let confidence = 0.95

    package init(checked: Int, wrong: Int) {
        precondition(wrong >= 0 && wrong <= checked, "\(wrong) wrong of \(checked)")
        self.checked = checked
        self.wrong = wrong
    }

    /// The greatest rate that is compatible with what was seen; 1 where nothing was.
    package var rate: Double {
        if wrong == checked { return 1 }
        // 1 − (1 − c)^(1/n), without losing small rates to the subtraction.
        if wrong == 0 { return -expm1(log(1 - Self.confidence) / Double(checked)) }
        let (a, b) = (Double(wrong) + 1, Double(checked - wrong))
        var (low, high) = (Double(wrong) / Double(checked), 1.0)
        // Each halves what is left; after these no double lies between.
        for _ in 0..<200 where low < high {
            let middle = low + (high - low) / 2
            if middle == low || middle == high { break }
            if Self.regularizedBeta(middle, a, b) < Self.confidence { low = middle } else { high = middle }
        }
        return high
    }

    /// How many nines the rate of right entries has at the least: 3 for 99.9 %.
    package var nines: Double { rate < 1 ? -log10(rate) : 0 }

    /// I_x(a, b).
    private static func regularizedBeta(_ x: Double, _ a: Double, _ b: Double) -> Double {
        if x <= 0 { return 0 }
        if x >= 1 { return 1 }
        let front = exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * log(x) + b * log1p(-x))
        // The fraction converges quickly on this side, and the other is its complement (DLMF 8.17.4).
        return x < (a + 1) / (a + b + 2)
            ? front * continuedFraction(x, a, b) / a : 1 - front * continuedFraction(1 - x, b, a) / b
    }

    private static func continuedFraction(_ x: Double, _ a: Double, _ b: Double) -> Double {
        let tiny = 1e-300
        func kept(_ value: Double) -> Double { abs(value) < tiny ? tiny : value }
        var c = 1.0
        var d = 1 / kept(1 - (a + b) * x / (a + 1))
        var result = d
        for step in 1...10_000 {
            let m = Double(step)
            for term in [
                m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
                -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
            ] {
                d = 1 / kept(1 + term * d)
                c = kept(1 + term / c)
                result *= c * d
            }
            if abs(c * d - 1) < 1e-15 { break }
        }
        return result
    }

    /// Lanczos' approximation, g = 7: lgamma of C writes a global variable.
    private static func logGamma(_ x: Double) -> Double {
        let coefficients = [
            676.520_368_121_885_1, -1_259.139_216_722_402_8, 771.323_428_777_653_13, -176.615_029_162_140_59,
            12.507_343_278_686_905, -0.138_571_095_265_720_12, 9.984_369_578_019_571_6e-6, 1.505_632_735_149_311_6e-7,
        ]
        var sum = 0.999_999_999_999_809_93
        for (index, coefficient) in coefficients.enumerated() { sum += coefficient / (x + Double(index)) }
        let t = x + 6.5
        return 0.5 * log(2 * Double.pi) + (x - 0.5) * log(t) - t + log(sum)
    }
}
