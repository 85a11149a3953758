import Freshet
import Keyspace

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The answer of a lookup, for programs and for people.
struct LookupReport {
    let answer: WorkflowAnswer
    /// The environment that was asked for.
    let environment: Int64?

    var json: JSON {
        .object([
            ("trust", .string(answer.trust.rawValue)),
            ("workflows", .array(answer.workflows.map { .integer($0.id) })),
            ("detectors", .array(answer.detectors.map(json(of:)))),
        ])
    }

    private func json(of detector: DetectorWorkflows) -> JSON {
        var members: [(String, JSON)] = [("id", .integer(detector.id))]
        func add(_ name: String, _ source: AnswerSource) {
            members.append((name, .string(source.word)))
            if let reason = source.reason { members.append(("\(name)_reason", .string(reason))) }
        }
        add("global", detector.global)
        if let environment = detector.environment { add("environment", environment) }
        members.append(("workflows", .array(detector.workflows.map(\.json))))
        return .object(members)
    }

    func text(_ terminal: Terminal) -> String {
        var lines = ["trust \(terminal.style(answer.trust.rawValue, answer.trust.style))"]
        for detector in answer.detectors {
            var title = "detector \(detector.id)  global \(detector.global.text(terminal))"
            if let environment, let source = detector.environment {
                title += "  environment \(environment) \(source.text(terminal))"
            }
            lines += ["", terminal.style(title, .bold)]
            if detector.workflows.isEmpty { lines.append(terminal.style("  no enabled workflow", .faint)) }
            let rows = detector.workflows.map { workflow in
                [
                    String(workflow.id), workflow.environmentID.map { String($0) } ?? "global", String(workflow.status),
                    Timestamp(workflow.dateUpdated).text(fractionDigits: 3), workflow.name,
                ]
            }
            if !rows.isEmpty {
                lines += Table(header: ["ID", "ENVIRONMENT", "STATUS", "UPDATED", "NAME"], rows: rows).lines(terminal)
            }
        }
        return lines.joined(separator: "\n")
    }
}

extension AnswerSource {
    /// `hit` or `miss`.
    var word: String {
        switch self {
        case .hit, .near: "hit"
        case .miss: "miss"
        }
    }

    /// Why it is a miss.
    var reason: String? {
        switch self {
        case .hit, .near: nil
        case .miss(let reason): reason.label
        }
    }

    func text(_ terminal: Terminal) -> String {
        guard let reason else { return terminal.style(word, .green) }
        return terminal.style("\(word) (\(reason))", .yellow)
    }
}

extension Trust {
    /// Green is a promise; red is none.
    var style: Terminal.Style {
        switch self {
        case .healthy: .green
        case .degraded, .disabled: .yellow
        case .unreachable: .red
        }
    }
}

extension Workflow {
    /// All columns, under their names in the table; environments and the like null where they are null there.
    fileprivate var json: JSON {
        .object([
            ("id", .integer(id)),
            ("environment_id", JSON(environmentID)),
            ("name", .string(name)),
            ("enabled", .bool(isEnabled)),
            ("status", .integer(Int64(status))),
            ("config", configJSON),
            ("organization_id", .integer(organizationID)),
            ("when_condition_group_id", JSON(whenConditionGroupID)),
            ("owner_user_id", JSON(ownerUserID)),
            ("owner_team_id", JSON(ownerTeamID)),
            ("created_by_id", JSON(createdByID)),
            ("date_added", .string(Timestamp(dateAdded).text())),
            ("date_updated", .string(Timestamp(dateUpdated).text())),
        ])
    }

    /// The value itself; as a string where the column holds something else than JSON.
    private var configJSON: JSON {
        let isJSON = (try? JSONDecoder().decode(AnyValue.self, from: Data(config.utf8))) != nil
        return isJSON ? .text(config) : .string(config)
    }

    /// Any value at all: the decoder has parsed the whole text before it asks.
    private struct AnyValue: Decodable {
        init(from decoder: any Decoder) {}
    }
}

extension Timestamp {
    init(_ date: Date) {
        self.init(microsecondsSince1970: date.microsecondsSince1970)
    }
}
