import Surroundings
import Testing

@testable import Chaos

@Suite struct BulkChangeTests {
    @Test func `what is done in bulk seldom touches the arena, and hardly ever the whole namespace`() {
        var randomness = SplitMix64(seed: 7)
        let changes = (0..<2_400).map { _ in BulkChange.random(version: "v", using: &randomness) }
        let ofArena = changes.filter(\.concernsArena)
        #expect((100...300).contains(ofArena.count))
        let ofNamespace = changes.filter { change in change.statements.contains { $0.hasPrefix("TRUNCATE") } }
        #expect((50...150).contains(ofNamespace.count))
        #expect(ofNamespace.allSatisfy { $0.concernsArena })
        // All else names the owners alone.
        for change in changes where !change.concernsArena {
            let touching = change.statements.filter { !$0.hasPrefix("INSERT") }
            #expect(touching.allSatisfy { $0.contains(" / 10 IN (1, 2, 3)") }, "\(touching)")
            #expect(change.statements.allSatisfy { !$0.contains("ARRAY[1, 2, 3, 9]") })
        }
    }

    @Test func `whoever begins puts everything there, also what belongs to nobody`() {
        let change = BulkChange.fillAnew(version: "v")
        #expect(change.concernsArena && change.statements.count == 4)
        #expect(change.statements.dropFirst().allSatisfy { $0.contains("ARRAY[1, 2, 3, 9]") })
    }
}
