/// What one bump invalidates.
///
/// "None", "every" and "not given" are different things, so each has its own case.
public enum Scope: Hashable, Sendable {
    /// Every entry of the namespace.
    case namespace
    /// Every variant of one entity.
    case entity(Entity)
    /// One variant of one entity.
    case entry(Entity, Variant)
}

/// A set of scopes in which nothing stands twice: the namespace covers every entity, an entity its variants.
public struct ScopeSet: Hashable, Sendable {
    /// What is bumped of one entity.
    public enum Variants: Hashable, Sendable {
        /// All that is cached of the entity, by one bump of the entity's own generation.
        case every
        /// These variants alone; the entity's others stay valid.
        case some(Set<Variant>)
    }

    /// Of more variants than these the whole entity is bumped: one generation costs Redis less than each of theirs.
    public static let variantsKeptApart = 64

    /// Whether the whole namespace is bumped.
    ///
    /// Then ``entities`` is empty: they are covered.
    public private(set) var coversNamespace = false
    /// What is bumped of each entity.
    public private(set) var entities: [Entity: Variants] = [:]

    /// A set that bumps nothing.
    public init() {}

    /// A set of the scopes given, folded.
    public init(_ scopes: some Sequence<Scope>) {
        for scope in scopes { insert(scope) }
    }

    /// Makes room for so many entities, so that a large set is not moved again and again while it grows.
    package mutating func reserveCapacity(_ entityCount: Int) {
        entities.reserveCapacity(entityCount)
    }

    /// Whether there is nothing to bump.
    public var isEmpty: Bool { !coversNamespace && entities.isEmpty }

    /// The number of generations that rise where everything is cached.
    public var count: Int {
        guard !coversNamespace else { return 1 }
        return entities.values.reduce(0) { sum, variants in
            switch variants {
            case .every: sum + 1
            case .some(let variants): sum + variants.count
            }
        }
    }

    /// Adds a scope, unless one that covers it is there, and drops what it covers.
    public mutating func insert(_ scope: Scope) {
        guard !coversNamespace else { return }
        switch scope {
        case .namespace:
            coversNamespace = true
            entities = [:]
        case .entity(let entity):
            entities[entity] = .every
        case .entry(let entity, let variant):
            switch entities[entity] {
            case .every: break
            case .some(.some(var variants)):
                entities[entity] = nil  // Holds the set uniquely, so that the insertion copies nothing.
                variants.insert(variant)
                entities[entity] = variants.count > Self.variantsKeptApart ? .every : .some(variants)
            case nil: entities[entity] = .some([variant])
            }
        }
    }

    /// Adds every scope of another set.
    public mutating func formUnion(_ other: ScopeSet) {
        if other.coversNamespace { insert(.namespace) }
        for (entity, variants) in other.entities {
            switch variants {
            case .every: insert(.entity(entity))
            case .some(let variants): for variant in variants { insert(.entry(entity, variant)) }
            }
        }
    }

    /// What a bump of this set would invalidate and one of another would not.
    package func subtracting(_ other: ScopeSet) -> ScopeSet {
        if other.coversNamespace { return ScopeSet() }
        var rest = self
        for (entity, bumped) in other.entities {
            switch (entities[entity], bumped) {
            case (nil, _), (.every, .some): break
            case (_, .every): rest.entities[entity] = nil
            case (.some(.some(let variants)), .some(let others)):
                let left = variants.subtracting(others)
                rest.entities[entity] = left.isEmpty ? nil : .some(left)
            }
        }
        return rest
    }

    /// Whether a bump of this set invalidates the entry.
    public func covers(_ entity: Entity, _ variant: Variant) -> Bool {
        if coversNamespace { return true }
        return switch entities[entity] {
        case .every: true
        case .some(.some(let variants)): variants.contains(variant)
        case nil: false
        }
    }
}
