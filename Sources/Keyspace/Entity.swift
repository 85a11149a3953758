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
