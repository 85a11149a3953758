import Freshet
import History
import Keyspace
import Synchronization

/// Writes down what lookups answered.
final class ReadRecorder: Sendable {
    private struct State {
        var known: Set<Digest> = []
        var buffer: [UInt8] = []
        var flushed = Moment.now
    }

    private let file: RecordFile
    private let state = Mutex(State())

    init(path: String) throws {
        file = try RecordFile(nextOf: path)
    }

    /// The sets of a lookup.
    ///
    /// - Parameter isAlone: Whether loads of this reader are never for somebody else as well.
    func record(
        _ answer: WorkflowAnswer,
        in environment: DetectorEnvironment,
        began: Moment,
        ended: Moment,
        isAlone: Bool,
        token: UInt64 = 0
    ) throws {
        let trust: Lookup.Trust =
            switch answer.trust {
            case .healthy: .healthy
            case .degraded: .degraded
            case .disabled: .disabled
            case .unreachable: .unreachable
            }
        var answers: [(key: HistoryKey, source: Lookup.Source, value: String)] = []
        for detector in answer.detectors {
            // Each by itself: of a workflow that has just moved and stands in both, what they are merged into has one.
            for (set, found) in detector.sets(in: environment) {
                let source = Self.source(found.source, isAlone: isAlone)
                answers.append((ChaosData.key(of: set), source, ChaosData.text(of: found.value)))
            }
        }
        try record(answers, trust: trust, began: began, ended: ended, token: token)
    }

    func record(
        _ answers: [(key: HistoryKey, source: Lookup.Source, value: String)],
        trust: Lookup.Trust,
        began: Moment,
        ended: Moment,
        token: UInt64
    ) throws {
        var lookup = Lookup(began: began, ended: ended, trust: trust, token: token, answers: [])
        let full: [UInt8]? = state.withLock { state in
            for answer in answers {
                let digest = Digest(of: answer.value)
                lookup.answers.append(Lookup.Answer(key: answer.key, source: answer.source, digest: digest))
                if state.known.insert(digest).inserted {
                    ReadRecord.meaning(digest, answer.value).encode(into: &state.buffer)
                }
            }
            ReadRecord.lookup(lookup).encode(into: &state.buffer)
            guard state.buffer.count >= 1 << 15 || ended - state.flushed > .milliseconds(100) else { return nil }
            state.flushed = ended
            defer { state.buffer = [] }
            return state.buffer
        }
        if let full { try file.append(full) }
    }

    /// Leaves nothing in memory.
    func flush() throws {
        let rest = state.withLock { state in
            defer { state.buffer = [] }
            return state.buffer
        }
        try file.append(rest)
    }

    private static func source(_ source: AnswerSource, isAlone: Bool) -> Lookup.Source {
        switch source {
        case .hit: .hit
        case .near: .near
        case .miss(.behind), .miss(.disabled), .miss(.unreachable): .loaded
        case .miss: isAlone ? .loaded : .shared
        }
    }
}
