/// What generations and entries are kept for under one key of Redis: of workflow lookups, a detector.
public struct Entity: Hashable, Sendable {
    /// The last part of the key, without braces or white space.
    public let text: String

    /// An entity named by its decimal id.
    public init(_ id: Int64) {
        text = String(id)
    }

    /// An entity by the last part of a key of ours.
    init(partOfKey text: String) {
        self.text = text
    }

    /// An entity named by any texts, at least one.
    ///
    /// In the key each byte of their UTF-8 stands for itself where it is an ASCII letter, a digit, `.`, `_` or `-`, and else
    /// as `%` and two upper-case hex digits; `/` stands between two texts. So different texts have different keys, byte for
    /// byte: also those that Swift calls equal because they are canonically equivalent.
    public init(_ texts: [String]) {
        precondition(!texts.isEmpty, "an entity has a name")
        text = texts.map(Self.percentEncoded).joined(separator: "/")
    }

    /// The texts that the initialiser for texts was given; nil where no texts have this spelling.
    package var texts: [String]? {
        var texts: [String] = []
        for part in text.split(separator: "/", omittingEmptySubsequences: false) {
            var bytes: [UInt8] = []
            var rest = part.utf8[...]
            while let byte = rest.popFirst() {
                guard byte == UInt8(ascii: "%") else {
                    bytes.append(byte)
                    continue
                }
                guard let decoded = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) else {
                    return nil
                }
                bytes.append(decoded)
                rest = rest.dropFirst(2)
            }
            guard let text = String(validating: bytes, as: UTF8.self) else { return nil }
            texts.append(text)
        }
        return Entity(texts) == self ? texts : nil
    }

    private static func percentEncoded(_ text: String) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        var encoded: [UInt8] = []
        encoded.reserveCapacity(text.utf8.count)
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                encoded.append(byte)
            default:
                encoded += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: encoded, as: UTF8.self)
    }
}

/// One of the separately invalidated answers of an entity: of workflow lookups, an environment or `global`.
public struct Variant: Hashable, Sendable {
    /// What stands in the fields `g:<variant>` and `e:<variant>`, without commas or white space.
    public let text: String

    /// A variant named by its decimal id.
    public init(_ id: Int64) {
        text = String(id)
    }

    private init(text: String) {
        self.text = text
    }

    /// A variant by what stands behind `g:` and `e:` in a field of ours.
    package init(partOfField text: String) {
        self.text = text
    }

    /// The variant that belongs to no id, written `-`.
    public static let global = Variant(text: "-")
}

extension Entity: CustomStringConvertible {
    /// The entity as it stands in the key.
    public var description: String { text }
}

extension Variant: CustomStringConvertible {
    /// The variant as it stands in the field.
    public var description: String { text }
}
