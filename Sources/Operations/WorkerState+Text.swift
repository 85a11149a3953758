// What a person is told of a worker in one line, as in `systemctl status`. What is wrong comes first.

import InvalidationWorker

extension WorkerState.Snapshot {
    /// One line of the state, such as `Leading: 12 changes/s, journal empty, vouched 0.4 s ago`.
    ///
    /// Errors are as the servers' libraries tell them, on one line, which have no password in them.
    package var line: String {
        if let failure = failures[.postgres] { return Self.oneLine("Waiting for Postgres: \(failure.error)") }
        if let obstacle { return Self.oneLine("Waiting: \(obstacle)") }
        if let failure = failures[.redis] { return Self.oneLine("Waiting for Redis: \(failure.error)") }
        switch role {
        case .starting: return "Starting: connecting to Postgres"
        case .standingBy(let leader): return "Standing by: \(leader.map { "pid \($0)" } ?? "another session") leads"
        case .leading: return Self.oneLine("Leading: \(leadingText)")
        }
    }

    private var leadingText: String {
        guard committedAt != nil else { return "first pass under way" }
        var parts = ["\(Self.number(changesPerSecond)) changes/s"]
        // What the last pass saw, it has applied: what came since is not known, and seldom waits for longer than a pass.
        if progress.at.duration(to: now) > lease {
            parts.append("\(progress.step) for \(Self.seconds(progress.at.duration(to: now)))")
        } else {
            parts.append("journal empty")
        }
        parts.append(vouchedAgo.map { "vouched \(Self.seconds($0)) ago" } ?? "vouched for nothing yet")
        for (cache, trust) in caches.sorted(by: { $0.key < $1.key }) {
            if let reason = trust.distrust { parts.append("not vouching for \(cache): \(reason)") }
        }
        return parts.joined(separator: ", ")
    }

    private static func oneLine(_ text: String) -> String {
        let line = text.split(whereSeparator: \.isNewline).joined(separator: " ")
        return String(line.prefix(500))
    }

    /// `0`, `0.3`, `12`: a digit behind the point below ten.
    private static func number(_ value: Double) -> String {
        guard value > 0, value < 10 else { return "\(Int64(value.rounded()))" }
        let tenths = max(Int64((value * 10).rounded()), 1)
        return tenths % 10 == 0 ? "\(tenths / 10)" : "\(tenths / 10).\(tenths % 10)"
    }

    private static func seconds(_ duration: Duration) -> String {
        let tenths = Int64((duration / .milliseconds(100)).rounded())
        return tenths < 100 ? "\(tenths / 10).\(tenths % 10) s" : "\(tenths / 10) s"
    }
}
