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
        file = try RecordFile(path: path)
    }

    /// The answers of a lookup that have a history and are certain.
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
            let id = UInt16(detector.id)
            guard ChaosData.owners.contains(Int(id) / 10) else { continue }
            let global = detector.workflows.filter { $0.environmentID == nil }
            answers.append(
                (
                    HistoryKey(detector: id, environment: 0), Self.source(detector.global, isAlone: isAlone),
                    ChaosData.text(of: global)
                )
            )
            guard case .environment(let environment) = environment, let source = detector.environment,
                !global.contains(where: { ChaosData.isRoamer(Int($0.id)) })
            else { continue }
            answers.append(
                (
                    HistoryKey(detector: id, environment: UInt16(environment)), Self.source(source, isAlone: isAlone),
                    ChaosData.text(of: detector.workflows.filter { $0.environmentID != nil })
                )
            )
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
