// What the status page shows, as JSON. Its names are those of `/status.json`, which others may read too: names are added, none is
// taken away.

import InvalidationWorker
import Keyspace

/// Everything that the page shows, at one moment.
struct StatusDocument: Encodable, Sendable {
    struct Session: Encodable, Sendable {
        var pid: Int64
        var application: String
        var address: String
        var connectedSeconds: Double?
    }

    struct Server: Encodable, Sendable {
        var name: String
        var ok: Bool
        var error: String?
        var failingSeconds: Double?
    }

    struct Cache: Encodable, Sendable {
        var name: String
        var namespace: String?
        /// As Redis tells readers; nil where it cannot be asked.
        var trust: String?
        var vouchedSeconds: Double?
        var leaseSeconds: Double?
        var generation: String?
        var distrust: String?
    }

    struct Journal: Encodable, Sendable {
        var rows: Int64
        var oldestSeconds: Double?
    }

    struct Count: Encodable, Sendable {
        var name: String
        var perSecond: Double
        /// In the last ``WorkerState/secondsKept`` seconds.
        var recent: Int64
        /// Since the start; where there are many names, since this one was seen last.
        var total: Int64
    }

    /// What was applied in one second.
    struct Second: Encodable, Sendable {
        var ago: Int64
        var tables: [String: Int64]
        var lagMs: Double?
    }

    struct Latency: Encodable, Sendable {
        var medianMs: Double
        var p99Ms: Double
        var maxMs: Double
        var count: Int
    }

    struct Audit: Encodable, Sendable {
        var cache: String
        var consistent: Int
        var inFlight: Int
        var inconsistent: Int
        var undecided: Int
        var nines: Double
        var secondsAgo: Double
    }

    struct Pass: Encodable, Sendable {
        struct Change: Encodable, Sendable {
            var subject: String
            var operation: String
            var rows: Int64
            var application: String?
            var user: String?
        }

        var number: UInt64
        var secondsAgo: Double
        var cache: String
        var changes: [Change]
        var changeCount: Int64
        var scopes: [String]
        var scopeCount: Int
        var bumps: Int64
        var reset: Bool
        var durationMs: Double
        var lagMs: Double?
    }

    var version: String
    var uptimeSeconds: Double
    var residentBytes: Int64?
    var role: String
    var roleSeconds: Double
    var line: String
    var leader: Session?
    var standbys: [Session]
    var servers: [Server]
    var caches: [Cache]
    var journal: Journal?
    var changesPerSecond: Double
    var scopesPerSecond: Double
    var changes: Int64
    var scopes: Int64
    var bumps: Int64
    var latency: Latency?
    var tables: [Count]
    var applications: [Count]
    var seconds: [Second]
    var audits: [Audit]
    var passes: [Pass]
}

extension StatusDocument {
    /// How many seconds the chart shows, and how many applications and passes are listed.
    private static let (secondsShown, applicationsShown, passesShown): (Int64, Int, Int) = (120, 8, 20)

    init(_ known: WorkerState.Snapshot, _ look: ServersProbe.Look, usage: ProcessUsage?, version: String) {
        let now = known.now
        func ago(_ moment: ContinuousClock.Instant) -> Double { moment.duration(to: now).inSeconds }
        func session(_ session: ServersProbe.Session) -> Session {
            Session(
                pid: session.pid,
                application: session.applicationName,
                address: session.address,
                connectedSeconds: session.connected?.inSeconds
            )
        }
        func server(_ server: WorkerEvent.Server, _ reason: ServersProbe.Reason?) -> Server {
            let failure = known.failures[server]
            return Server(
                name: server.rawValue,
                ok: failure == nil && reason == nil,
                error: failure?.error ?? reason?.text,
                failingSeconds: failure.map { ago($0.since) }
            )
        }
        self.version = version
        uptimeSeconds = ago(known.startedAt)
        residentBytes = usage?.residentBytes
        role = known.role.word
        roleSeconds = ago(known.roleSince)
        line = known.line
        let journalLook = look.postgres.value
        leader = journalLook?.leader.map(session)
        standbys = journalLook?.standbys.map(session) ?? []
        servers = [server(.postgres, look.postgres.failure), server(.redis, look.redis.failure)]
        journal = journalLook.map { Journal(rows: $0.rowCount, oldestSeconds: $0.oldest?.inSeconds) }

        var caches = (look.redis.value ?? []).map { head in
            Cache(
                name: head.cache,
                namespace: "\(head.namespace)",
                trust: head.trust.rawValue,
                vouchedSeconds: head.vouched?.inSeconds,
                leaseSeconds: head.lease?.inSeconds,
                generation: head.generation,
                distrust: known.caches[head.cache]?.distrust
            )
        }
        for (name, trust) in known.caches.sorted(by: { $0.key < $1.key })
        where !caches.contains(where: { $0.name == name }) {
            caches.append(
                Cache(name: name, vouchedSeconds: trust.vouchedFor.map(ago), distrust: trust.distrust)
            )
        }
        self.caches = caches

        changesPerSecond = known.changesPerSecond
        scopesPerSecond = known.rate(\.scopes)
        changes = known.totals.changes
        scopes = known.totals.scopes
        bumps = known.totals.bumps
        let lags = known.lags.sorted()
        latency =
            lags.last.map {
                Latency(
                    medianMs: lags[lags.count / 2].inMilliseconds,
                    p99Ms: lags[min(lags.count * 99 / 100, lags.count - 1)].inMilliseconds,
                    maxMs: $0.inMilliseconds,
                    count: lags.count
                )
            }
        tables = known.counts(\.changesByTable)
        applications = Array(known.counts(\.changesByApplication).prefix(Self.applicationsShown))
        let second = known.second
        seconds = known.seconds.filter { $0.number > second - Self.secondsShown }.map {
            Second(ago: second - $0.number, tables: $0.changesByTable, lagMs: $0.longestLag?.inMilliseconds)
        }
        audits = known.audits.sorted { $0.key < $1.key }.map { cache, audit in
            Audit(
                cache: cache,
                consistent: audit.consistent,
                inFlight: audit.inFlight,
                inconsistent: audit.inconsistent,
                undecided: audit.undecided,
                nines: audit.nines,
                secondsAgo: ago(audit.at)
            )
        }
        passes = known.passes.suffix(Self.passesShown).reversed().map { Pass($0, secondsAgo: ago($0.at)) }
    }
}

extension StatusDocument.Pass {
    fileprivate init(_ pass: WorkerState.RecentPass, secondsAgo: Double) {
        number = pass.number
        self.secondsAgo = secondsAgo
        cache = pass.report.namespace.name
        changes = pass.report.changes.prefix(5).map { change in
            Change(
                subject: change.subject,
                operation: change.operation,
                rows: change.rowCount,
                application: change.applicationName,
                user: change.userName
            )
        }
        changeCount = pass.report.rowCount
        scopes = pass.scopes
        scopeCount = pass.scopeCount
        bumps = pass.report.bumpCount
        reset = !pass.report.resetBuckets.isEmpty
        durationMs = pass.report.duration.inMilliseconds
        lagMs = pass.report.lags.max()?.inMilliseconds
    }
}

extension WorkerState.Role {
    /// As `/status.json` has it.
    var word: String {
        switch self {
        case .starting: "starting"
        case .standingBy: "standing_by"
        case .leading: "leading"
        }
    }
}

extension WorkerState.Snapshot {
    /// The counts by a name, those with most of late first.
    fileprivate func counts(_ counts: KeyPath<WorkerState.Second, [String: Int64]>) -> [StatusDocument.Count] {
        let span = max(min(WorkerState.rateSeconds, second), 1)
        var recent: [String: Int64] = [:]
        var inSpan: [String: Int64] = [:]
        for past in seconds {
            recent.merge(past[keyPath: counts], uniquingKeysWith: +)
            if past.number >= second - span && past.number < second {
                inSpan.merge(past[keyPath: counts], uniquingKeysWith: +)
            }
        }
        return totals[keyPath: counts].merging(recent, uniquingKeysWith: max).map { name, total in
            StatusDocument.Count(
                name: name,
                perSecond: Double(inSpan[name] ?? 0) / Double(span),
                recent: recent[name] ?? 0,
                total: total
            )
        }.sorted { ($0.recent, $0.total, $1.name) > ($1.recent, $1.total, $0.name) }
    }
}
