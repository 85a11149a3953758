/// A version of the namespace, of an entity or of a variant: a counter with a nonce, written `<counter>.<16 hex digits>`.
///
/// The counter rises by one at every bump and is what people see. The nonce is fresh for every bump and seed and makes
/// the generation unique for ever: a counter alone, also one seeded from a clock, repeats after Redis is restored from
/// an older snapshot, and would then revive entries of a lost future. Hence only equality is ever tested.
public struct Generation: Hashable, Sendable {
    /// How often the thing was bumped since it was first seeded.
    ///
    /// At least 1.
    public let counter: UInt64
    /// 64 random bits.
    public let nonce: UInt64

    /// A generation out of its two parts.
    ///
    /// `counter` is at least 1.
    @inlinable
    public init(counter: UInt64, nonce: UInt64) {
        self.counter = counter
        self.nonce = nonce
    }

    /// The first generation of something that has none yet, with a nonce from the system's random source.
    public static func seed() -> Generation {
        var generator = SystemRandomNumberGenerator()
        return seed(using: &generator)
    }

    /// The same with a nonce from another random source.
    package static func seed(using generator: inout some RandomNumberGenerator) -> Generation {
        Generation(counter: 1, nonce: generator.next())
    }

    /// Reads the canonical text, as Redis holds it; nil for anything else, which readers treat as absent.
    @inlinable
    public init?(_ text: some StringProtocol) {
        self.init(utf8: text.utf8)
    }

    /// Reads the canonical text out of a reply's bytes.
    ///
    /// What Redis compares is text, so another spelling of the same numbers is another generation, and none of ours.
    @inlinable
    public init?(utf8 bytes: some Collection<UInt8>) {
        var counter: UInt64 = 0
        var nonce: UInt64 = 0
        var rest = bytes.makeIterator()
        while let byte = rest.next(), byte != UInt8(ascii: ".") {
            // No sign and no leading zero, and therefore no zero either.
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte), counter > 0 || byte > UInt8(ascii: "0") else {
                return nil
            }
            let (tens, isTooLarge) = counter.multipliedReportingOverflow(by: 10)
            let (sum, overflows) = tens.addingReportingOverflow(UInt64(byte - UInt8(ascii: "0")))
            guard !isTooLarge, !overflows else { return nil }
            counter = sum
        }
        for _ in 0..<Self.nonceDigits {
            switch rest.next() {
            case .some(let byte) where (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte):
                nonce = nonce << 4 | UInt64(byte - UInt8(ascii: "0"))
            case .some(let byte) where (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte):
                nonce = nonce << 4 | UInt64(byte - UInt8(ascii: "a") + 10)
            default:
                return nil
            }
        }
        guard counter > 0, rest.next() == nil else { return nil }
        self.init(counter: counter, nonce: nonce)
    }

    /// The nonce as the scripts take it: 16 lower-case hexadecimal digits.
    public static func nonceText(_ nonce: UInt64) -> String {
        let digits = String(nonce, radix: 16)
        return String(repeating: "0", count: nonceDigits - digits.count) + digits
    }

    @usableFromInline static let nonceDigits = 16
}

extension Generation: CustomStringConvertible {
    /// The canonical text, `<counter>.<16 hex digits>`.
    public var description: String { "\(counter).\(Self.nonceText(nonce))" }
}
