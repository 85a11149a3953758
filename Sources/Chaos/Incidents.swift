import History
import Synchronization

/// The faults that were made, in the order in which they began.
final class Incidents: Sendable {
    private let state = Mutex<[Story.Incident]>([])
    private let kinds = Mutex<[String: Int]>([:])
    let origin: Moment

    init(origin: Moment) {
        self.origin = origin
    }

    var all: [Story.Incident] { state.withLock { $0 } }

    /// How many there were of each kind.
    var counts: [String: Int] { kinds.withLock { $0 } }

    /// Notes a fault that begins now, and says so.
    func begin(_ planned: PlannedFault) {
        let now = Moment.now
        let lasts = planned.lasts.inSeconds
        let text = "\(planned.fault), for \(lasts) s"
        state.withLock { $0.append(Story.Incident(began: now, text: text)) }
        kinds.withLock { $0[planned.fault.kind, default: 0] += 1 }
        let time = (now - origin).inSeconds
        say(String(repeating: " ", count: max(0, 8 - time.utf8.count)) + time + "  \(planned.fault)")
    }
}
