package import Keyspace

/// What a change invalidated, in so few words that it can be kept: the first of many, and how many there were.
///
/// JSON: `everything` (the namespace), `entities` (each `entity`, and `variants` unless it was invalidated as a whole, with
/// `variant_count` where not all are listed), `entity_count`, `count` (the generations that they name), `in_order`, which is true where
/// entities and variants that are listed are the first of all (numbers by their value), and `of_pass`, which is true where that is what
/// the whole pass invalidated, because no change by itself says which was its part.
package struct InvalidatedScopes: Hashable, Sendable {
    /// One of the entities that are listed.
    package struct Listed: Hashable, Sendable, Codable {
        package var entity: String
        /// Nil for every variant.
        package var variants: [String]?
        /// How many variants there are, where not all are listed.
        package var variantCount: Int?

        private enum CodingKeys: String, CodingKey {
            case entity, variants
            case variantCount = "variant_count"
        }
    }

    /// Whether a change concerns an entry.
    package enum Coverage: Hashable, Sendable {
        case yes, no
        /// It may be among what is not listed.
        case perhaps
    }

    package var coversEverything = false
    package var entities: [Listed] = []
    package var entityCount = 0
    package var count = 0
    /// Whether what is listed is what comes first, so that nothing else comes before the last of it; not so once changes are folded.
    package var isInOrder = false
    package var isOfPass = false

    /// How many entities are listed, and variants of each.
    package static let (entitiesListed, variantsListed) = (24, 16)

    package init() {}

    package init(_ scopes: ScopeSet, isOfPass: Bool) {
        self.isOfPass = isOfPass
        isInOrder = true
        coversEverything = scopes.coversNamespace
        entityCount = scopes.entities.count
        count = scopes.count
        // The first in order, without sorting what may be very many.
        var first: [Entity] = []
        for entity in scopes.entities.keys {
            if first.count == Self.entitiesListed {
                guard let last = first.last, Self.isBefore(entity.text, last.text) else { continue }
                first.removeLast()
            }
            let place = first.firstIndex { Self.isBefore(entity.text, $0.text) } ?? first.endIndex
            first.insert(entity, at: place)
        }
        entities = first.map { entity in
            guard case .some(let variants)? = scopes.entities[entity] else { return Listed(entity: entity.text) }
            let sorted = variants.map(\.text).sorted(by: Self.isBefore)
            return Listed(
                entity: entity.text,
                variants: Array(sorted.prefix(Self.variantsListed)),
                variantCount: sorted.count > Self.variantsListed ? sorted.count : nil
            )
        }
    }

    /// Numbers by their value, and before them everything else by its text: an order of all texts.
    private static func isBefore(_ left: String, _ right: String) -> Bool {
        switch (Int64(left), Int64(right)) {
        case (let left?, let right?): left < right
        case (nil, nil): left < right
        case (nil, _): true
        case (_, nil): false
        }
    }

    /// Adds what another change invalidated; counts are upper bounds then.
    mutating func formUnion(_ other: InvalidatedScopes) {
        isOfPass = isOfPass || other.isOfPass
        guard self != other else { return }
        isInOrder = false
        coversEverything = coversEverything || other.coversEverything
        let isWhole = [self, other].allSatisfy { $0.entityCount == $0.entities.count }
        for listed in other.entities {
            if let place = entities.firstIndex(where: { $0.entity == listed.entity }) {
                entities[place].formUnion(listed)
            } else {
                entities.append(listed)
            }
        }
        entityCount = isWhole ? entities.count : entityCount + other.entityCount
        count += other.count
        entities = Array(entities.prefix(Self.entitiesListed))
    }

    /// Whether it invalidated an entry, or, where no variant is named, anything of an entity.
    package func covers(_ entity: Entity, _ variant: Variant? = nil) -> Coverage {
        if coversEverything { return .yes }
        guard let listed = entities.first(where: { $0.entity == entity.text }) else {
            return entityCount > entities.count && isBeyond(entity.text, entities.last?.entity) ? .perhaps : .no
        }
        guard let variants = listed.variants, let variant else { return .yes }
        if variants.contains(variant.text) { return .yes }
        return listed.variantCount != nil && isBeyond(variant.text, variants.last) ? .perhaps : .no
    }

    /// Whether something may be among what is not listed.
    private func isBeyond(_ text: String, _ lastListed: String?) -> Bool {
        guard isInOrder, let lastListed else { return true }
        return !Self.isBefore(text, lastListed)
    }
}

extension InvalidatedScopes.Listed {
    fileprivate mutating func formUnion(_ other: Self) {
        guard let own = variants, let others = other.variants else {
            (variants, variantCount) = (nil, nil)
            return
        }
        let union = own + others.filter { !own.contains($0) }
        let isWhole = variantCount == nil && other.variantCount == nil
        let count = isWhole ? union.count : (variantCount ?? own.count) + (other.variantCount ?? others.count)
        variants = Array(union.prefix(InvalidatedScopes.variantsListed))
        variantCount = count > InvalidatedScopes.variantsListed || !isWhole ? count : nil
    }
}

extension InvalidatedScopes: Codable {
    private enum CodingKeys: String, CodingKey {
        case coversEverything = "everything"
        case entities
        case entityCount = "entity_count"
        case count
        case isInOrder = "in_order"
        case isOfPass = "of_pass"
    }

    package init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        coversEverything = try values.decode(Bool.self, forKey: .coversEverything)
        entities = try values.decode([Listed].self, forKey: .entities)
        guard entities.allSatisfy({ $0.variantCount ?? 0 >= 0 }) else {
            throw DecodingError.dataCorruptedError(
                forKey: .entities,
                in: values,
                debugDescription: "a count below zero"
            )
        }
        entityCount = try values.decodeCount(forKey: .entityCount)
        count = try values.decodeCount(forKey: .count)
        // Younger than the others: a stream may hold records that do not say it.
        isInOrder = try values.decodeIfPresent(Bool.self, forKey: .isInOrder) ?? false
        isOfPass = try values.decode(Bool.self, forKey: .isOfPass)
    }
}
