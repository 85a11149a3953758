import Keyspace
import Testing

struct ScopeSetTests {
    private let one = Entity(1)
    private let two = Entity(2)

    @Test func `an entity covers its variants, in whichever order they come`() {
        let first = ScopeSet([.entry(one, .global), .entity(one), .entry(one, Variant(7))])
        #expect(first.entities == [one: .every])
        #expect(first.count == 1)
        #expect(first.covers(one, Variant(9)))
        #expect(!first.covers(two, .global))
    }

    @Test func `the namespace covers everything`() {
        var scopes = ScopeSet([.entry(one, .global), .namespace, .entity(two)])
        scopes.insert(.entry(two, .global))
        #expect(scopes.coversNamespace)
        #expect(scopes.entities.isEmpty)
        #expect(scopes.count == 1)
        #expect(scopes.covers(two, Variant(3)))
    }

    @Test func `variants of one entity stay apart`() {
        let scopes = ScopeSet([.entry(one, .global), .entry(one, Variant(7)), .entry(one, Variant(7))])
        #expect(scopes.count == 2)
        #expect(scopes.covers(one, .global))
        #expect(scopes.covers(one, Variant(7)))
        #expect(!scopes.covers(one, Variant(8)))
    }

    @Test func `more variants of one entity than are kept apart are the whole entity`() {
        let variants = (1...Int64(ScopeSet.variantsKeptApart)).map { Scope.entry(Entity(1), Variant($0)) }
        #expect(ScopeSet(variants).count == ScopeSet.variantsKeptApart)
        #expect(ScopeSet(variants + [.entry(Entity(1), .global)]) == ScopeSet([.entity(Entity(1))]))
    }

    @Test func `a union is what inserting every scope gives`() {
        var left = ScopeSet([.entry(one, .global)])
        left.formUnion(ScopeSet([.entity(two), .entry(one, Variant(7))]))
        #expect(left == ScopeSet([.entry(one, .global), .entry(one, Variant(7)), .entity(two)]))
        left.formUnion(ScopeSet([.namespace]))
        #expect(left == ScopeSet([.namespace]))
        #expect(ScopeSet().isEmpty)
    }
}
