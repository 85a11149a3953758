/// A generator whose whole state is its seed: the same seed, the same choices.
///
/// SplitMix64 is "Fast Splittable Pseudorandom Number Generators" (Steele, Lea, Flood; OOPSLA 2014).
struct SplitMix64: RandomNumberGenerator, Sendable {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// A number below `sides`.
    mutating func roll(_ sides: Int) -> Int { Int.random(in: 0..<sides, using: &self) }

    /// True once in so many times.
    mutating func chance(_ one: Int) -> Bool { roll(one) == 0 }
}
