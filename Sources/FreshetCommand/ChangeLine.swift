import ChangeFeed
import Keyspace

/// A change on one line, for people.
struct ChangeLine {
    let change: AppliedChange

    func text(_ terminal: Terminal) -> String {
        let time = Timestamp(microsecondsSince1970: change.atMicroseconds).text(fractionDigits: 3)
        let what = Redaction.visible("\(change.table) \(change.operation)").padded(to: 18)
        let rows = "\(change.rows) \(change.rows == 1 ? "row" : "rows")".padded(to: 8)
        let who = Redaction.visible(Self.who(change)).padded(to: 20)
        var parts = [
            terminal.style(time, .faint), terminal.style(what, style), rows, terminal.style(who, .cyan),
            Redaction.visible(scopes),
        ]
        if let latency = change.latencyMicroseconds {
            parts.append(terminal.style(Self.latency(latency), .faint))
        }
        return parts.joined(separator: "  ")
    }

    private var style: Terminal.Style {
        if change.invalidated.coversEverything { return .red }
        return change.invalidated.count == 0 ? .faint : .green
    }

    private static func who(_ change: AppliedChange) -> String {
        switch (change.application, change.user) {
        case (let application?, let user?): "\(application) (\(user))"
        case (let application?, nil): application
        case (nil, let user?): "(\(user))"
        case (nil, nil): "-"
        }
    }

    /// What was invalidated, and of many things the first.
    private var scopes: String {
        let invalidated = change.invalidated
        var text: String
        if invalidated.coversEverything {
            text = "everything of \(change.namespace)"
        } else if invalidated.entityCount == 0 {
            text = "nothing"
        } else {
            let shown = invalidated.entities.prefix(3)
            text = shown.map(Self.text).joined(separator: ", ")
            let rest = invalidated.entityCount - shown.count
            if rest > 0 { text += " and \(rest) more" }
        }
        if change.changes > 1 { text = "\(change.changes) changes: \(text)" }
        return invalidated.isOfPass ? "\(text) (all changes of the pass)" : text
    }

    private static func text(_ listed: InvalidatedScopes.Listed) -> String {
        guard let variants = listed.variants else { return listed.entity }
        let shown = variants.prefix(4).map { $0 == Variant.global.text ? "global" : $0 }
        let rest = (listed.variantCount ?? variants.count) - shown.count
        return "\(listed.entity):\(shown.joined(separator: "+"))" + (rest > 0 ? "+\(rest)" : "")
    }

    /// A latency as people say it.
    static func latency(_ microseconds: Int64) -> String {
        switch microseconds {
        case ..<10_000: "\(Double((microseconds + 5) / 10) / 100) ms"
        case ..<1_000_000: "\(microseconds / 1_000) ms"
        default: "\(Double(microseconds / 100_000) / 10) s"
        }
    }
}
