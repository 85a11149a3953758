import ChangeFeed
import Keyspace
import Testing

@testable import FreshetCommand

@Suite struct TopReportTests {
    private func report(by grouping: ChangeRanking.Grouping = .application) -> TopReport {
        let changes = ["billing", "an application whose name is much longer than a column", "another"].map { name in
            var change = AppliedChange(
                namespace: "freshet:workflows",
                atMicroseconds: 1,
                table: "datasource_detector",
                operation: "acknowledge",
                rows: 1_234_567,
                changes: 1_234_567
            )
            change.application = name
            change.latencyMicroseconds = 1_500
            return change
        }
        let view = TopScreen.View(grouping: grouping, order: .changes)
        return TopReport(
            namespace: .workflows,
            window: .seconds(60),
            view: view,
            ranking: ChangeRanking(changes, by: view.grouping, in: view.order)
        )
    }

    @Test(arguments: [200, 80, 60, 20, 3, 1])
    func `no line of the screen is wider than the terminal`(width: Int) {
        for lines in [report(), report(by: .table)].map({ $0.text(.plain, lines: 24, width: width) }) {
            #expect(lines.count >= 5)
            #expect(lines.allSatisfy { $0.count <= width }, "\(lines)")
        }
    }

    @Test func `names are cut so that the figures stay`() {
        let lines = report().text(.plain, lines: 24, width: 80)
        for beginning in ["an application whose name… ", "billing "] {
            #expect(lines.contains { $0.hasPrefix(beginning) && $0.hasSuffix("1.5 ms") }, "\(lines)")
        }
        #expect(lines[2].contains("CHANGES*") && lines[2].hasSuffix("P99"))
        // Where it is printed once, nothing is.
        #expect(!report().text(.plain, lines: .max, width: .max).contains { $0.contains("…") })
    }

    @Test func `the screen has no more lines than the terminal`() {
        #expect(report().text(.plain, lines: 6, width: 80).count == 6)
        #expect(report().text(.plain, lines: 2, width: 80).count == 2)
    }

    @Test func `what a terminal would obey, or put in another order, is a space`() {
        for scalar in ["\u{202E}", "\u{2066}", "\u{200B}", "\u{FEFF}", "\u{1B}", "\u{9B}", "\u{2028}", "\n"] {
            #expect(Redaction.visible("a\(scalar)b") == "a b", "\(scalar.unicodeScalars.map(\.value))")
        }
        #expect(Redaction.visible("Zoë 東京 –") == "Zoë 東京 –")
    }
}
