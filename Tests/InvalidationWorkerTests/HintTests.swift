import Testing

@testable import InvalidationWorker

struct HintTests {
    @Test func `a payload tells the row`() throws {
        let hint = try #require(
            Hint(
                "a-1 workflows workflow update workflow_ids={7,8} old_environment_ids={NULL,5} new_environment_ids={5,6}"
            )
        )
        #expect(hint.id == "a-1")
        #expect(hint.cache == "workflows")
        #expect(hint.row.subject == "workflow")
        #expect(hint.row.operation == "update")
        #expect(
            hint.row.integers == [
                "workflow_ids": [7, 8], "old_environment_ids": [nil, 5], "new_environment_ids": [5, 6],
            ]
        )
    }

    /// Somebody's columns.
    private static func columns(_ count: Int) -> String { (1...count).map { "c\($0)={1}" }.joined(separator: " ") }

    @Test func `a payload has no more columns than any cache`() {
        #expect(Hint("a workflows link insert \(Self.columns(16))")?.row.integers["c16"] == [1])
    }

    @Test func `a payload is divided at each space, whatever follows it`() {
        #expect(Hint("a workflows \u{301}link insert")?.row.subject == "\u{301}link")
    }

    @Test(
        arguments: [
            "", " ", "a", "a workflows link", "a  link insert", "a workflows link insert detector_ids",
            "a workflows link insert detector_ids={1", "a workflows link insert detector_ids={x}",
            "a workflows link insert detector_ids={1} detector_ids={2}",
            "a workflows link insert detector_ids={1} ", "a workflows link insert \(HintTests.columns(17))",
            String(repeating: "a", count: 37) + " workflows link insert",
            "a workflows detector update detector_ids={\((1...1_000).map(String.init).joined(separator: ","))}",
        ]
    )
    func `anything else is no hint`(payload: String) {
        #expect(Hint(payload) == nil)
    }

    @Test func `of many notifications no more are read than are worth it, and it is said that they are not all`() {
        func heard(_ count: Int) -> HeardNotifications {
            HeardNotifications(Array(repeating: "a workflows link insert", count: count)) { _ in true }
        }
        #expect(heard(64).isAll && heard(64).changes.map(\.rows.count) == [64])
        #expect(!heard(65).isAll && heard(65).changes.map(\.rows.count) == [64])
    }

    @Test func `what is of no interest is left out, and counts as read`() {
        let payloads = ["a workflows link insert", "b workflows link delete", "c datasources source delete"]
        let heard = HeardNotifications(payloads) { $0 != "b" }
        #expect(heard.isAll)
        #expect(heard.changes.map(\.cache) == ["datasources", "workflows"])
        #expect(heard.changes.map { $0.rows.map(\.operation) } == [["delete"], ["insert"]])
        let other = HeardNotifications(payloads + ["no hint"]) { _ in true }
        #expect(!other.isAll)
    }
}
