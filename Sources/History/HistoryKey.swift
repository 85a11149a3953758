/// One set of workflows: those of a detector in an environment.
///
/// The writers share the detectors out among themselves: each detector belongs to one owner, and only transactions that hold the
/// owner's lock change anything of it. So the transactions of an owner have an order, which the lock decides.
public struct HistoryKey: Hashable, Sendable, Codable {
    /// The id of the detector.
    public var detector: UInt16
    /// The id of the environment; 0 for the global set.
    public var environment: UInt16

    /// The set of a detector and an environment.
    public init(detector: UInt16, environment: UInt16) {
        self.detector = detector
        self.environment = environment
    }

    /// Whose detector it is.
    public var owner: Int { Int(detector) / 10 }
}

extension HistoryKey: CustomStringConvertible {
    /// In words.
    public var description: String {
        "detector \(detector), " + (environment == 0 ? "global" : "environment \(environment)")
    }
}

extension HistoryKey: Comparable {
    /// By detector, then by environment.
    public static func < (left: HistoryKey, right: HistoryKey) -> Bool {
        (left.detector, left.environment) < (right.detector, right.environment)
    }
}

/// A set in short: equal for equal sets, and different for different ones but once in 2^64 pairs.
public struct Digest: Hashable, Sendable {
    /// 64 bits, by FNV-1a.
    public var bits: UInt64

    /// A digest that was made before.
    public init(bits: UInt64) {
        self.bits = bits
    }

    /// The digest of a set, as text.
    public init(of value: String) {
        bits = value.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3 }
    }
}
