// Every metric and log key of the feed.
//
// | metric | type | labels | meaning |
// |---|---|---|---|
// | `freshet_change_records_total` | counter | | records written to the stream |
// | `freshet_change_history_lost_total` | counter | `reason`: dropped, refused, unreachable | changes that are in no record; their invalidations are done all the same |
//
// | log key | meaning |
// |---|---|
// | `error` | what Redis, or the library that talks to it, said |

import Metrics

struct ChangeFeedTelemetry: Sendable {
    /// Why a change is in no record.
    enum Loss: String {
        /// The buffer was full.
        case dropped
        /// Redis said no, as where it is full.
        case refused
        /// Redis did not answer.
        case unreachable
    }

    private let records = Counter(label: "freshet_change_records_total")
    private let dropped = Counter(label: "freshet_change_history_lost_total", dimensions: [("reason", "dropped")])
    private let refused = Counter(label: "freshet_change_history_lost_total", dimensions: [("reason", "refused")])
    private let unreachable = Counter(
        label: "freshet_change_history_lost_total",
        dimensions: [("reason", "unreachable")]
    )

    func written() { records.increment() }

    func lost(_ changes: Int64, _ loss: Loss) {
        guard changes > 0 else { return }
        switch loss {
        case .dropped: dropped.increment(by: changes)
        case .refused: refused.increment(by: changes)
        case .unreachable: unreachable.increment(by: changes)
        }
    }
}
