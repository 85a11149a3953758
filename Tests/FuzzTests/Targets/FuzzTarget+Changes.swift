import Keyspace
import Redis

@testable import ChangeFeed
@testable import FreshetCommand

extension FuzzTarget {
    /// The history of changes, which anybody who reaches Redis may have written.
    static let changes: [FuzzTarget] = [changeRecord, changeID, changeStream]

    /// A record with few scopes, one with more than are listed, and one of everything.
    private static let records = [
        """
        {"application":"psql","at_us":1700000000000900,"bumps":3,"changed_at_us":1700000000000000,"changes":2,\
        "committed_at_us":1700000000000400,"invalidated":{"count":3,"entities":[{"entity":"17","variants":["-","7"]},\
        {"entity":"error/5"}],"entity_count":2,"everything":false,"in_order":true,"of_pass":false},"latency_us":500,\
        "namespace":"freshet:workflows","operation":"update","rows":4,"table":"workflow","user":"app","v":1}
        """,
        """
        {"at_us":-1,"bumps":90,"changes":1,"invalidated":{"count":90,"entities":[{"entity":"17","variant_count":40,\
        "variants":["2","4"]}],"entity_count":51,"everything":false,"of_pass":true},"latency_us":-3,"namespace":"n",\
        "operation":"several","rows":9223372036854775807,"table":"several","v":1,"later":[null]}
        """,
        """
        {"at_us":1,"bumps":1,"changes":1,"invalidated":{"count":1,"entities":[],"entity_count":0,"everything":true,\
        "of_pass":false},"namespace":"n","operation":"truncate","rows":0,"table":"detector","v":1}
        """,
    ]

    private static let recordWords = [
        "\"", ":", ",", "{", "}", "null", "true", "1e18", "1e999", "-9223372036854775808", "9223372036854775807",
        "\\u0000", "\\ud800", "\\n", "\u{9B}", "\u{202E}", "\"v\":1", "\"variant_count\":-1", "{\"entity\":\"17\"}",
        String(repeating: "[", count: 600),
    ]

    private static let changeRecord = FuzzTarget(
        name: "change-record",
        sound: records.map { Array($0.utf8) },
        words: recordWords,
        parse: { bytes in
            guard let line = ChangeStream.line(bytes), let change = ChangeStream.record(in: line.utf8) else {
                return false
            }
            try check(change, storedAs: line)
            return true
        }
    )

    private static let changeID = FuzzTarget(
        name: "change-id",
        sound: ["0-0", "1700000000000-3", "18446744073709551615-18446744073709551615"],
        words: ["-", "+", "0", "18446744073709551616", "*"],
        parse: { text in
            guard let id = ChangeID(text) else { return false }
            try require(ChangeID(id.description) == id, "another id as \(id)")
            try require(id >= .zero, "\(id) is before every entry")
            return true
        }
    )

    /// The replies to who reads a stream: its end, what it holds, and what comes.
    private static let changeStream = FuzzTarget(
        name: "change-stream",
        sound: [
            """
            *1\n\(entry("9-0", records[0]))\
            *2\n\(entry("9-0", records[0]))\(entry("8-1", records[1]))\
            *1\n*2\n$freshet:workflows:{0}.changes\n*1\n\(entry("9-1", records[2]))
            """,
            "*0\n_", "*1\n*2\n$5-0\n_\n*1\n*2\n$5-0\n*3\n$other\n$x\n$change\n_",
        ],
        words: recordWords + [
            "\n*2\n", "\n*0\n", "\n_\n", "\n$change\n", "\n$9-2\n", "\n$18446744073709551615-0\n", "\n-ERR x\n",
        ],
        parse: { text in
            let replies = LooseReplies.parse(text)
            let found: [[ChangeReader.Entry]]
            do {
                found = try runHere {
                    let reader = ChangeReader([.workflows], redis: AnsweringRedis(replies))
                    var position = try await reader.end()
                    let kept = try await reader.history(upTo: position)
                    let come = try await reader.next(&position)
                    return [kept, come]
                }
            } catch is RedisServerError {
                return false
            }
            for entries in found {
                let isInOrder = zip(entries, entries.dropFirst()).allSatisfy { $0.id <= $1.id }
                try require(isInOrder, "not in order: \(entries.map(\.id))")
                for entry in entries { try check(entry.change, storedAs: entry.line) }
            }
            return true
        }
    )

    private static func entry(_ id: String, _ record: String) -> String {
        "*2\n$\(id)\n*2\n$change\n$\(record)\n"
    }

    /// Holds what is shown and added up of a change against the rules.
    private static func check(_ change: AppliedChange, storedAs line: String) throws {
        try require(line.utf8.allSatisfy { $0 >= 0x20 }, "more than one line: \(line.debugDescription)")
        try require(ChangeStream.record(in: line.utf8) == change, "the line is another record: \(line)")
        let again = ChangeStream.record(in: try ChangeStream.encoded(change))
        try require(again == change, "encodes to another record: \(change)")
        try requireLine(ChangeLine(change: change).text(.plain))
        _ = (change.invalidated.covers(Entity(17)), change.invalidated.covers(Entity(17), .global))
        for grouping in ChangeRanking.Grouping.allCases {
            let total = ChangeRanking([change, change], by: grouping, in: .p99).total
            try require(
                total.rows >= change.rows && total.changes >= change.changes && total.bumps >= change.bumps,
                "two of them are less than one: \(total)"
            )
        }
    }
}
