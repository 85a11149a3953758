// From facts to findings: pure functions, so that each judgement is tested without a server. Every check gives at least one finding,
// if only that all is well; what could not be looked at is told as such, and never passed over.

/// What the doctor thinks of the facts.
package struct Diagnosis: Sendable {
    let facts: Facts
    let limits: DoctorLimits

    /// The cache that `--namespace` names.
    static let firstCache = "workflows"

    package init(_ facts: Facts, limits: DoctorLimits = DoctorLimits()) {
        self.facts = facts
        self.limits = limits
    }

    /// All findings, in the order of ``Check``.
    package var findings: [Finding] {
        var found: [Finding] = []
        switch facts.postgres {
        case .unreachable(let reason):
            found.append(
                Finding(
                    .postgresReachable,
                    .problem,
                    reason,
                    why: "without Postgres nothing is invalidated, and nothing of it can be checked",
                    mend: .advice("give --postgres an address and a login that work")
                )
            )
        case .reached(let postgres):
            found.append(
                Finding(
                    .postgresReachable,
                    .well,
                    "database \(postgres.server.database), as role \(postgres.server.role)"
                )
            )
            found += server(postgres) + schema(postgres)
            if postgres.server.hasSchema { found += tables(postgres) + roles(postgres) + journal(postgres) }
            found += vacuum(postgres)
        }
        switch facts.redis {
        case .unreachable(let reason):
            found.append(
                Finding(
                    .redisReachable,
                    .problem,
                    reason,
                    why: "readers load everything from Postgres, and changes wait in its journal",
                    mend: .advice("give --redis an address and a login that work")
                )
            )
        case .reached(let redis):
            found.append(Finding(.redisReachable, .well, redis.address.url))
            found += server(redis) + heads(redis)
        }
        let order = Dictionary(uniqueKeysWithValues: Check.allCases.enumerated().map { ($1, $0) })
        // A stable sort: within a check, the order in which it was found.
        return found.enumerated()
            .sorted { (order[$0.element.check] ?? 0, $0.offset) < (order[$1.element.check] ?? 0, $1.offset) }
            .map(\.element)
    }

    /// The findings of one check that looks at a value.
    func check<Value>(
        _ check: Check,
        _ value: Checked<Value>,
        _ judge: (Value) -> [Finding]
    ) -> [Finding] {
        switch value {
        case .known(let value): judge(value)
        case .unknown(let reason): [unchecked(check, reason)]
        }
    }

    func unchecked(_ check: Check, subject: String? = nil, _ reason: String, mend: Mend? = nil) -> Finding {
        Finding(check, .unchecked, subject: subject, reason, mend: mend)
    }
}

extension [Finding] {
    /// These, or that all is well where there are none.
    func orWell(_ check: Check, _ what: String) -> [Finding] {
        isEmpty ? [Finding(check, .well, what)] : self
    }
}

/// Figures as people read them.
enum Figure {
    static func age(_ seconds: Double) -> String {
        switch seconds {
        case ..<1: "\(Int((max(0, seconds) * 1_000).rounded())) ms"
        case ..<120: "\((seconds * 10).rounded() / 10) s"
        case ..<7_200: "\(Int(seconds / 60)) min"
        case ..<172_800: "\(Int(seconds / 3_600)) h"
        default: "\(Int(min(seconds, 1e15) / 86_400)) d"
        }
    }

    static func bytes(_ count: Int64) -> String {
        switch count {
        case ..<10_240: "\(count) bytes"
        case ..<10_485_760: "\(count / 1_024) KiB"
        case ..<10_737_418_240: "\(count / 1_048_576) MiB"
        default: "\(count / 1_073_741_824) GiB"
        }
    }

    static func list(_ items: [String], limit: Int = 6) -> String {
        let shown = items.prefix(limit).joined(separator: ", ")
        return items.count > limit ? "\(shown) and \(items.count - limit) more" : shown
    }
}

extension Duration {
    /// In seconds.
    var inSeconds: Double {
        let (seconds, attoseconds) = components
        return Double(seconds) + Double(attoseconds) / 1e18
    }
}
