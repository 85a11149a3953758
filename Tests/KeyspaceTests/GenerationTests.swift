import Keyspace
import Testing

struct GenerationTests {
    @Test func `a generation survives the way through its text`() throws {
        let generation = Generation(counter: 42, nonce: 0xBEEF)
        #expect(generation.description == "42.000000000000beef")
        #expect(Generation(generation.description) == generation)
        #expect(Generation(utf8: Array("42.000000000000beef".utf8)) == generation)
    }

    @Test(arguments: [
        "", ".", "1", "1.", ".000000000000beef", "0.000000000000beef", "01.000000000000beef", "1.beef",
        "1.000000000000BEEF", "+1.000000000000beef", "-1.000000000000beef", "1.000000000000beef0",
        "1.000000000000beef.", "18446744073709551616.000000000000beef", "1.00000000000 beef", "1.+00000000000beef",
    ])
    func `any other spelling is no generation`(text: String) {
        #expect(Generation(text) == nil)
    }

    @Test func `two seeds of the same thing differ, because a counter alone repeats after a restore`() {
        let seeds = Set((0..<1_000).map { _ in Generation.seed() })
        #expect(seeds.count == 1_000)
        #expect(seeds.allSatisfy { $0.counter == 1 })
    }
}
