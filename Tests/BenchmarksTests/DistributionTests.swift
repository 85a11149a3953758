import Foundation
import Testing

@testable import Benchmarks

@Suite struct DistributionTests {
    @Test func `of rates no 99th percentile is told, however their unit ends`() throws {
        let unit = "commands a second, of whole rounds"
        let rates = try #require(Distribution(ofRates: [3, 1, 2], unit: unit))
        #expect(rates.description == "quartiles 1.00 to 3.00 \(unit)")
        let times = try #require(Distribution(of: [3, 1, 2]))
        #expect(times.description == "p99 3.00, quartiles 1.00 to 3.00 µs")
    }

    @Test func `whether values are times is written down`() throws {
        for distribution in [Distribution(of: [1, 2], unit: "ns"), Distribution(ofRates: [1, 2], unit: "µs")] {
            let distribution = try #require(distribution)
            let read = try JSONDecoder().decode(Distribution.self, from: JSONEncoder().encode(distribution))
            #expect(read == distribution)
        }
    }

    @Test(arguments: [("µs", true), ("a second", false), ("commands a second, of whole rounds", false)])
    func `what was written before that was is known by its unit`(unit: String, isTime: Bool) throws {
        let text = """
            {"unit": "\(unit)", "count": 2, "median": 2, "p99": 3, "lower_quartile": 1, "upper_quartile": 3}
            """
        let read = try JSONDecoder().decode(Distribution.self, from: Data(text.utf8))
        #expect(read.isTime == isTime)
    }

    @Test func `dividing divides every value`() throws {
        let whole = try #require(Distribution(of: [100, 200, 400, 800]))
        let part = try #require(Distribution(of: [1, 2, 4, 8], unit: "ns"))
        #expect(whole.divided(by: 100, unit: "ns") == part)
    }

    /// Times of a hundred lookups each in microseconds, and of as many round trips.
    private let pair = Stopwatch.Pair(
        measured: Distribution(of: [25, 30, 40]),
        against: Distribution(of: [1_500, 2_000, 4_000])
    )

    @Test func `a near hit and its spread are of one lookup, in nanoseconds`() {
        let bar = NearBenchmark.bar(pair, count: 100)
        #expect(bar.figure == 300)
        #expect(bar.measured?.median == bar.figure)
        #expect(bar.measured?.unit == "ns")
        #expect(bar.measured?.p99 == 400)
        #expect(bar.baseline?.median == 20_000)
    }

    @Test func `what a workflow takes to decode and its spread are of one workflow`() throws {
        let bars = DecodeBenchmark.bars(pair, count: 100)
        let one = try #require(bars.first)
        #expect(one.figure == 0.3)
        #expect(one.measured?.median == one.figure)
        #expect(one.measured?.p99 == 0.4)
        #expect(bars.last?.measured?.median == 30)
    }
}
