import Foundation
import Testing

@testable import Benchmarks

@Suite struct PlotTests {
    @Test func `the ends of a logarithmic axis are powers of ten around all values`() {
        let axis = Axis(.logarithmic, of: [30, 4_500, 0], places: (100, 400))
        #expect(axis.ticks.count == 4)
        #expect(abs(axis.range.lowerBound - 10) < 1e-9 && abs(axis.range.upperBound - 10_000) < 1e-6)
        #expect(abs(axis.place(of: 100) - 200) < 1e-6)
    }

    @Test(arguments: [0.7, 3, 41, 820, 33.5, 4_400])
    func `a linear axis begins at 0, ends above all values, and has a few round numbers`(most: Double) {
        let axis = Axis(.linear, of: [most / 3, most], places: (200, 0))
        #expect(axis.range.lowerBound == 0 && axis.range.upperBound >= most)
        #expect((3...6).contains(axis.ticks.count))
        #expect(axis.place(of: 0) == 200)
    }

    @Test func `what a picture says is escaped`() {
        var picture = SVGPicture(width: 10, height: 10, title: "a < b", summary: "c & d")
        picture.write("<script>", at: (1.5, -2))
        #expect(picture.document.contains("<title>a &lt; b</title>"))
        #expect(picture.document.contains("<desc>c &amp; d</desc>"))
        #expect(picture.document.contains("x=\"1.5\" y=\"-2\""))
        #expect(!picture.document.contains("<script>"))
    }

    @Test func `a figure that was written is read again, and drawn`() throws {
        var bar = Bar(
            name: "detector, from the acknowledgement, median",
            figure: 1.25,
            limit: .atMost(1.5),
            origin: "500 / 400 µs",
            measured: Distribution(of: [400, 500, 900]),
            baseline: Distribution(of: [300, 400, 500]),
            labels: ["change": "detector", "since": "acknowledgement"],
            figures: ["none": .nan]
        )
        bar.benchmark = "commit"
        bar.heldEqual = "all"
        bar.cores = 4
        let read = try JSONDecoder().decode([Bar].self, from: JSONEncoder().encode([bar]))
        #expect(read.count == 1)
        #expect(read.first?.measured == bar.measured && read.first?.baseline == bar.baseline)
        #expect(read.first?.description == bar.description)
        #expect(read.first?.figures == [:])
        #expect(read.first?.heldEqual == "all")
        #expect(read.first?.cores == 4)

        let picture = try drawn(read)
        #expect(picture.contains("500 µs to 900 µs"))
        #expect(picture.contains("400 µs to 500 µs"))
    }

    /// The picture of the commit benchmark.
    private func drawn(_ bars: [Bar]) throws -> String {
        let folder = FileManager.default.temporaryDirectory.appending(path: "plots-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        #expect(try PlotFolder(path: folder).draw(bars) == ["commit.svg"])
        return try String(contentsOfFile: "\(folder)/commit.svg", encoding: .utf8)
    }

    private func bar(_ change: String, cores: Int?, load: String? = nil) -> Bar {
        var bar = Bar(
            name: change,
            figure: 1.25,
            limit: .none,
            origin: "500 / 400 µs",
            measured: Distribution(of: [400, 500, 900]),
            baseline: Distribution(of: [300, 400, 500]),
            labels: ["change": change, "since": "acknowledgement"]
        )
        bar.benchmark = "commit"
        bar.cores = cores
        bar.labels["load"] = load
        return bar
    }

    @Test func `a picture has the cores that were written down, and none that were not`() throws {
        #expect(try drawn([bar("detector", cores: 16), bar("link", cores: 16)]).contains("commits, 16 cores; log"))
        #expect(try drawn([bar("detector", cores: 1)]).contains("commits, 1 core; log"))
        #expect(try drawn([bar("detector", cores: 2), bar("link", cores: 4)]).contains("commits; log"))
        #expect(try drawn([bar("detector", cores: nil)]).contains("commits; log"))
    }

    @Test func `figures of before that say nothing of cores are read`() throws {
        let text = """
            [{"name": "detector", "figure": 1.25, "at_most": 1.5, "is_met": true, "origin": "500 / 400 µs", "benchmark": "commit",
              "held_equal": "all", "labels": {"change": "detector", "since": "acknowledgement"},
              "measured": {"unit": "µs", "count": 3, "median": 500, "p99": 900, "lower_quartile": 400, "upper_quartile": 900},
              "baseline": {"unit": "µs", "count": 3, "median": 400, "p99": 500, "lower_quartile": 300, "upper_quartile": 500}}]
            """
        let read = try JSONDecoder().decode([Bar].self, from: Data(text.utf8))
        #expect(read.first?.cores == nil)
        #expect(try drawn(read).contains("commits; log"))
    }

    @Test func `a picture marks what was measured under unequal loads`() throws {
        let picture = try drawn([bar("detector", cores: 2), bar("link", cores: 2, load: "unequal")])
        #expect(picture.contains(">link *<") && picture.contains(">detector<"))
        #expect(picture.contains("*: fewer than asked for."))
        #expect(try !drawn([bar("detector", cores: 2)]).contains("*"))
    }
}
