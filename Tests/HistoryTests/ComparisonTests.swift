import History
import Testing

@Suite struct ComparisonTests {
    private let key = MadeHistory.key
    private let other = MadeHistory.arena

    @Test func `what these lookups filled themselves is not taken for what somebody had left`() {
        var comparison = Comparison()
        comparison.note(key, isCached: false, difference: nil)
        comparison.note(other, isCached: true, difference: nil)
        #expect(comparison.left == [other] && comparison.refilled.isEmpty)
        comparison.note(key, isCached: true, difference: nil)
        // Evicted, filled and found again: it had been left there all the same.
        comparison.note(other, isCached: false, difference: nil)
        comparison.note(other, isCached: true, difference: nil)
        #expect(comparison.left == [other] && comparison.refilled == [key])
    }

    @Test func `the first difference of a set is kept`() {
        let differences = ["b", "a"].map { Comparison.Difference(key: key, found: at(1), answer: $0, truth: "a") }
        var comparison = Comparison()
        comparison.note(key, isCached: true, difference: differences[0])
        comparison.note(key, isCached: true, difference: nil)
        comparison.note(key, isCached: true, difference: differences[1])
        #expect(comparison.differences == [key: differences[0]])
        #expect(differences[0].description == "\(key): the lookup says \"b\", the database \"a\"")
        #expect(differences[1].description.hasSuffix("which differs in a column that is not shown"))
    }
}
