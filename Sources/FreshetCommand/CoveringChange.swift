import ChangeFeed
import Keyspace

/// A change that invalidated what somebody asks about, or may have.
struct CoveringChange: Sendable {
    var entry: ChangeReader.Entry
    /// Whether it did, as far as its record says.
    var isCertain: Bool
    /// Whether its record was written after that was last read.
    ///
    /// A record is written a moment after what it tells of, so such a change may still have been applied before.
    var isLater: Bool

    /// How many of the last are told.
    static let countTold = 10

    /// The record as it is stored, and three names more.
    var json: JSON {
        let own = "\"certain\":\(isCertain),\"stream_id\":\"\(entry.id)\",\"later\":\(isLater)"
        // What was read as a record is an object with members.
        return .text("{\(own),\(entry.line.drop { $0 != "{" }.dropFirst())")
    }

    /// One line, for people.
    func text(_ terminal: Terminal) -> String {
        let line = ChangeLine(change: entry.change).text(terminal)
        let marks = (isCertain ? [] : ["perhaps"]) + (isLater ? ["later"] : [])
        return marks.isEmpty ? line : "\(line)  \(terminal.style("(\(marks.joined(separator: ", ")))", .yellow))"
    }
}

extension [ChangeReader.Entry] {
    /// The last changes that invalidated some entries of an entity, and where those are few, the last that may have: in their order.
    ///
    /// - Parameters:
    ///   - variants: Which entries; nil for anything of the entity.
    ///   - seen: When they were last read; nil where nobody knows.
    func covering(_ entity: Entity, _ variants: [Variant]?, seen: RedisTime?) -> [CoveringChange] {
        var (certain, possible): (Self, Self) = ([], [])
        for entry in reversed() {
            switch entry.change.coverage(of: entity, variants) {
            case .yes: certain.append(entry)
            case .perhaps: possible.append(entry)
            case .no: break
            }
            if certain.count == CoveringChange.countTold { break }
        }
        func told(_ entries: some Sequence<ChangeReader.Entry>, isCertain: Bool) -> [CoveringChange] {
            entries.map { entry in
                let isLater = seen.map { entry.id.milliseconds > UInt64(Swift.max(0, $0.microseconds) / 1_000) }
                return CoveringChange(entry: entry, isCertain: isCertain, isLater: isLater ?? false)
            }
        }
        let others = possible.prefix(CoveringChange.countTold - certain.count)
        return (told(certain, isCertain: true) + told(others, isCertain: false)).sorted { $0.entry.id < $1.entry.id }
    }
}

extension AppliedChange {
    /// Whether it invalidated any of some entries of an entity; where none are named, anything of it.
    func coverage(of entity: Entity, _ variants: [Variant]?) -> InvalidatedScopes.Coverage {
        let covered = variants?.map { invalidated.covers(entity, $0) } ?? [invalidated.covers(entity)]
        // Of a pass it is known what all its changes did, not which of them.
        if covered.contains(.yes) { return invalidated.isOfPass ? .perhaps : .yes }
        return covered.contains(.perhaps) ? .perhaps : .no
    }
}
