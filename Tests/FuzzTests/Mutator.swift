import Surroundings
import TestSupport

/// Breaks sound inputs, a little or thoroughly, by a seed.
struct Mutator {
    private static let greatestLength = 16_384
    /// What stands at the edges of what a length or a count may be.
    private static let numbers = [
        "0", "-1", "1", "255", "65536", "2147483647", "2147483648", "4294967295", "4294967296", "9223372036854775807",
        "9223372036854775808", "18446744073709551615", "99999999999999999999999",
    ]

    private var generator: SplitMix64

    init(seed: UInt64) {
        generator = SplitMix64(seed: seed)
    }

    /// The next input for a target.
    mutating func input(for target: FuzzTarget) -> [UInt8] {
        var bytes = target.sound.randomElement(using: &generator) ?? []
        for _ in 0..<(pick([1, 1, 1, 2, 2, 3, 5, 9]) ?? 1) {
            mutate(&bytes, target)
            if bytes.count > Self.greatestLength { bytes.removeLast(bytes.count - Self.greatestLength) }
        }
        if let repair = target.repair, Bool.random(using: &generator) { repair(&bytes) }
        return bytes
    }

    private mutating func mutate(_ bytes: inout [UInt8], _ target: FuzzTarget) {
        switch Int.random(in: 0..<13, using: &generator) {
        case 0: if let place = place(in: bytes) { bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator) }
        case 1: if let place = place(in: bytes) { bytes[place] = .random(in: 0...255, using: &generator) }
        case 2:
            if let place = place(in: bytes) { bytes[place] = pick([0, 1, 0x7F, 0x80, 0xFF, 0x0A, 0x0D, 0x22]) ?? 0 }
        case 3: bytes.removeLast(Int.random(in: 0...bytes.count, using: &generator))
        case 4: bytes.removeSubrange(range(in: bytes))
        case 5: bytes.insert(contentsOf: bytes[range(in: bytes)], at: gap(in: bytes))
        case 6:
            let others = target.sound.randomElement(using: &generator) ?? []
            bytes = Array(bytes[..<gap(in: bytes)]) + others[gap(in: others)...]
        case 7, 8: insert(pick(target.words).map { Array($0.utf8) } ?? [], into: &bytes)
        case 9: overwrite(&bytes, width: 4)
        case 10: overwrite(&bytes, width: 8)
        case 11: lieAboutNumber(in: &bytes)
        default:
            let count = Int.random(in: 0...12, using: &generator)
            bytes.insert(
                contentsOf: (0..<count).map { _ in .random(in: 0...255, using: &generator) },
                at: gap(in: bytes)
            )
        }
    }

    /// Puts a word between two bytes, or over those that stand there.
    private mutating func insert(_ word: [UInt8], into bytes: inout [UInt8]) {
        let place = gap(in: bytes)
        let end = Bool.random(using: &generator) ? place : min(bytes.count, place + word.count)
        bytes.replaceSubrange(place..<end, with: word)
    }

    /// Writes an integer that is small, or as large as can be, where a length may stand.
    private mutating func overwrite(_ bytes: inout [UInt8], width: Int) {
        guard bytes.count >= width else { return }
        let value: UInt64 =
            pick([0, 1, 2, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, .max, .max / 2, UInt64(bytes.count)]) ?? 0
        let place = Int.random(in: 0...(bytes.count - width), using: &generator)
        for byte in 0..<width { bytes[place + byte] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(byte))) }
    }

    /// Puts another number in the place of one in decimal digits.
    private mutating func lieAboutNumber(in bytes: inout [UInt8]) {
        func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
        let starts = bytes.indices.filter { isDigit(bytes[$0]) && ($0 == 0 || !isDigit(bytes[$0 - 1])) }
        guard let start = pick(starts) else { return }
        let end = bytes[start...].firstIndex { !isDigit($0) } ?? bytes.endIndex
        bytes.replaceSubrange(start..<end, with: (pick(Self.numbers) ?? "0").utf8)
    }

    private mutating func pick<Element>(_ elements: [Element]) -> Element? { elements.randomElement(using: &generator) }

    private mutating func place(in bytes: [UInt8]) -> Int? { bytes.indices.randomElement(using: &generator) }

    private mutating func gap(in bytes: [UInt8]) -> Int { Int.random(in: 0...bytes.count, using: &generator) }

    private mutating func range(in bytes: [UInt8]) -> Range<Int> {
        let (one, other) = (gap(in: bytes), gap(in: bytes))
        return min(one, other)..<max(one, other)
    }
}
