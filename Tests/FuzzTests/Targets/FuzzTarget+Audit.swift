import Freshet
import Keyspace
import Redis

@testable import Audit
@testable import FreshetCommand

extension FuzzTarget {
    /// What `freshet audit` and `freshet explain` ask of Redis.
    static let audit: [FuzzTarget] = [auditScan, auditReadings, auditKey]

    private static let auditWords = [
        "\n*2\n", "\n*3\n", "\n_\n", "\n$0\n", "\n-OOM full\n", "\n-WRONGTYPE x\n", "\nE\n", "\n+\(secret)\n", "$e:",
        "$g:", "freshet:workflows:{0}:", "1.00000000000000aa", "9223372036854775807", "-9223372036854775808",
    ]

    /// A step of a walk, and the fields of each key that it found.
    private static let auditScan = FuzzTarget(
        name: "audit-scan",
        sound: [
            """
            *2\n$0\n*4\n$freshet:workflows:{0}:17\n$freshet:workflows:{0}\n$app:\(secret)\n\
            $freshet:datasources:{0}:error/5\n*3\n$g\n$e:-\n$e:7\n*2\n$e:-\n$g:-
            """,
            "*2\n$42\n*2\n$freshet:workflows:{0}:17\n$freshet:workflows:{0}:17:c:-\n-WRONGTYPE x",
        ],
        words: auditWords,
        parse: { text in
            let replies = LooseReplies.parse(text)
            let entries: [CachedEntry]
            do {
                entries = try runHere {
                    var scan = EntryScan(
                        [(cache: "workflows", namespace: .workflows), (cache: "datasources", namespace: .dataSources)],
                        redis: AnsweringRedis(replies),
                        stepsPerSecond: 1
                    )
                    return try await scan.step()
                }
            } catch {
                try requireRefusal(error)
                return false
            }
            let names = entries.names(of: "workflows")
            try require(Set(names).count == names.count, "an entry twice: \(names)")
            for name in names {
                try require(!name.entity.text.utf8.contains(UInt8(ascii: ":")), "\(name.entity) is no entity")
                guard let key = WorkflowAudit().key(of: name) else { continue }
                let own = EntryName(entity: Entity(key.detectorID), variant: key.environment.variant)
                try require(own == name, "\(key) has another entry: \(name)")
            }
            for name in entries.names(of: "datasources") {
                guard let key = DataSourceAudit().key(of: name) else { continue }
                let own = Entity.dataSource(type: key.type, sourceID: key.sourceID)
                try require(own == name.entity, "\(key) has another entity: \(name)")
            }
            return true
        }
    )

    private static let headAndTime =
        "*6\n$1.00000000000000aa\n$1000000000\n$5000\n$7/1/a\n_\n$10:20:\n*2\n$1000\n$0\n"
    private static let threeEntries =
        "\(headAndTime)*3\n$1.00000000000000aa\n_\nE\n*3\n$1.00000000000000aa\n_\n_\n*3\n_\n_\n$x\n"

    /// Readings of three entries, also by a Redis that is full.
    private static let auditReadings = FuzzTarget(
        name: "audit-readings",
        sound: [
            threeEntries, "-OOM full\n-OOM full\n-OOM full\n-OOM full\n-OOM full\n\(threeEntries)\(headAndTime)",
            "\(headAndTime)-WRONGTYPE x\n-WRONGTYPE x\n-WRONGTYPE x",
        ],
        words: auditWords,
        parse: { text in
            let names = [
                EntryName(entity: Entity(1), variant: .global), EntryName(entity: Entity(1), variant: Variant(7)),
                EntryName(entity: Entity(2), variant: .global),
            ]
            let replies = LooseReplies.parse(text, entry: knownEntry)
            let readings: [EntryReading]
            do {
                readings = try runHere {
                    try await EntryReader(redis: AnsweringRedis(replies), namespace: .workflows).read(names)
                }
            } catch {
                try requireRefusal(error)
                return false
            }
            try require(readings.count == names.count, "\(readings.count) readings")
            for (name, reading) in zip(names, readings) { try checkVerdict(name, reading) }
            return true
        }
    )

    /// Holds what is said of an entry, which is known not to be what the database says, against the rules.
    private static func checkVerdict(_ name: EntryName, _ reading: EntryReading) throws {
        guard var inquiry = Inquiry(name, reading, timeToLive: .seconds(60)) else { return }
        let entry = inquiry.entry
        try require(try EntryCodec.decode(knownEntry) == entry, "an entry that nobody stored")
        try require(try WorkflowAudit().rows(in: entry.payload).count == 2, "other rows")
        let stamp = reading.generations.stamp(readAt: entry.stamp.readAt)
        try require(stamp == entry.stamp, "\(entry.stamp) is served under \(reading.generations)")

        guard let upTo = TransactionSnapshot("10:20:") else { throw Violation("no snapshot") }
        inquiry.take(Truth(isEqual: false, postgres: "7/1/a", upTo: upTo))
        guard inquiry.take(reading) == .settled(.inconsistent) else { return }
        let isApplied = reading.head.postgres == "7/1/a" && reading.head.snapshot?.contains(upTo) == true
        try require(isApplied, "inconsistent by a head that has not applied it: \(reading.head)")
    }

    /// Everything that lies under one key.
    private static let auditKey = FuzzTarget(
        name: "audit-key",
        sound: [
            """
            *4\n$g\n$g:7\n$e:-\n$e:7\n:60000\n\(headAndTime)\
            *3\n$1.00000000000000aa\n_\nE\n*3\n$1.00000000000000aa\n$1.00000000000000aa\nE
            """,
            "-WRONGTYPE x\n:-1\n\(headAndTime)-WRONGTYPE x",
        ],
        words: auditWords + ["\u{9B}", "\u{202E}", "\n:9223372036854775807\n"],
        parse: { text in
            let replies = LooseReplies.parse(text, entry: knownEntry)
            let view: KeyView
            do {
                view = try runHere {
                    try await KeyView.read(
                        Entity(1),
                        nil,
                        in: .workflows,
                        of: AnsweringRedis(replies),
                        limits: KeyspaceLimits(),
                        degradedLimit: .seconds(60)
                    )
                }
            } catch {
                try requireRefusal(error)
                return false
            }
            try require((view.timeToLive ?? .zero) >= .zero, "it stays for \(String(describing: view.timeToLive))")
            try require(view.entries.contains { $0.name.variant == .global }, "nothing of the global entry")
            for entry in view.entries where entry.state == .valid {
                try require(entry.rows?.count == 2, "a reader is served what nobody stored")
            }
            let report = ExplainReport(detector: 1, view: view, truths: nil, changes: [])
            for line in report.text(.plain).split(separator: "\n") { try requireLine(String(line)) }
            return true
        }
    )

    /// Holds an error against the rule: it is the server's own, or a short line with nothing of what the server holds.
    private static func requireRefusal(_ error: any Error) throws {
        if error is RedisServerError { return }
        guard let error = error as? AuditError else { throw error }
        try requireLine(error.description)
        try require(error.description.utf8.count < 160, "an endless message: \(error)")
        try require(!error.description.contains(secret), "what others keep in Redis: \(error)")
    }
}
