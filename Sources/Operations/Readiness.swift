import InvalidationWorker
import Keyspace

/// Whether a worker does its work, or could at once: each thing that this takes, in one line.
struct Readiness: Hashable, Sendable {
    struct Part: Hashable, Sendable {
        var name: String
        /// Why it is not well; nil where it is.
        var problem: String?
        /// What there is to say where it is well.
        var state = "ok"
    }

    var parts: [Part]

    var isReady: Bool { parts.allSatisfy { $0.problem == nil } }

    /// `ready` or `not ready`, then a line for each part.
    var text: String {
        ([isReady ? "ready" : "not ready"] + parts.map { "\($0.name): \($0.problem ?? $0.state)" })
            .map { $0.split(whereSeparator: \.isNewline).joined(separator: " ") + "\n" }.joined()
    }

    init(_ known: WorkerState.Snapshot, _ look: ServersProbe.Look) {
        func server(_ server: WorkerEvent.Server, _ reason: ServersProbe.Reason?) -> Part {
            Part(name: server.rawValue, problem: known.failures[server]?.error ?? reason?.text)
        }
        parts = [server(.postgres, look.postgres.failure), server(.redis, look.redis.failure)]
        if let obstacle = known.obstacle { parts.append(Part(name: "worker", problem: obstacle)) }
        switch known.role {
        case .starting: parts.append(Part(name: "worker", problem: "has no session with Postgres yet"))
        case .standingBy: parts.append(Part(name: "worker", state: "stands by"))
        case .leading:
            parts.append(
                Part(name: "worker", problem: known.committedAt == nil ? "has made no pass yet" : nil, state: "leads")
            )
            for (cache, trust) in known.caches.sorted(by: { $0.key < $1.key }) {
                let isVouched = known.isVouched(cache)
                parts.append(
                    Part(
                        name: cache,
                        problem: trust.distrust ?? (isVouched ? nil : "the last promise has run out"),
                        state: "vouched for"
                    )
                )
            }
        }
    }
}
