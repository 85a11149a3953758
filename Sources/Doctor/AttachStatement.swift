// The statement that attaches the tables of a cache as they are attached, to be shown as the mend of what is wrong with them.

/// `SELECT freshet.attach(…)`, made from what is attached.
enum AttachStatement {
    private struct Parameter {
        var subject: String
        var role: String
        var name: String
        var usual: String
    }

    private struct Form {
        var function: String
        var subjects: [String]
        var parameters: [Parameter]
    }

    private static let forms: [String: Form] = [
        "workflows": Form(
            function: "freshet.attach",
            subjects: ["detector", "workflow", "link"],
            parameters: [
                Parameter(subject: "detector", role: "id", name: "detector_id", usual: "id"),
                Parameter(subject: "workflow", role: "id", name: "workflow_id", usual: "id"),
                Parameter(
                    subject: "workflow",
                    role: "environment",
                    name: "workflow_environment",
                    usual: "environment_id"
                ),
                Parameter(subject: "link", role: "detector", name: "link_detector", usual: "detector_id"),
                Parameter(subject: "link", role: "workflow", name: "link_workflow", usual: "workflow_id"),
            ]
        ),
        "datasources": Form(
            function: "freshet.attach_datasources",
            subjects: ["datasource", "datasource_link", "datasource_detector"],
            parameters: [
                Parameter(subject: "datasource", role: "id", name: "datasource_id", usual: "id"),
                Parameter(subject: "datasource", role: "type", name: "datasource_type", usual: "type"),
                Parameter(subject: "datasource", role: "source", name: "datasource_source", usual: "source_id"),
                Parameter(
                    subject: "datasource_link",
                    role: "datasource",
                    name: "link_datasource",
                    usual: "data_source_id"
                ),
                Parameter(subject: "datasource_link", role: "detector", name: "link_detector", usual: "detector_id"),
                Parameter(subject: "datasource_detector", role: "id", name: "detector_id", usual: "id"),
            ]
        ),
    ]

    /// The columns of these tables that the worker reads to resolve changes: freshet_worker is granted them and no others.
    static let readSubjects: Set<String> = ["workflow", "link", "datasource", "datasource_link"]

    /// The call that attaches some tables as they are attached now.
    ///
    /// - Parameters:
    ///   - level: Another level than now.
    ///   - renamed: Columns that must be named anew: a person fills them in.
    /// - Returns: Nil where the cache is not known here, or a table of it is not attached.
    static func text(
        attaching cache: String,
        _ tables: [PostgresFacts.Table],
        level: String? = nil,
        renamed: Set<String> = []
    ) -> String? {
        guard let form = forms[cache] else { return nil }
        let own = tables.filter { $0.cache == cache }
        var arguments: [String] = []
        for subject in form.subjects {
            guard let table = own.first(where: { $0.subject == subject }) else { return nil }
            arguments.append(quoted(table.name))
        }
        for parameter in form.parameters {
            guard let table = own.first(where: { $0.subject == parameter.subject }),
                let column = table.columns[parameter.role]
            else { return nil }
            if renamed.contains("\(table.name).\(column)") {
                arguments.append("\(parameter.name) => '<its name now>'")
            } else if column != parameter.usual {
                arguments.append("\(parameter.name) => \(quoted(column))")
            }
        }
        let level = level ?? own.first?.level ?? "statement"
        if level != "statement" { arguments.append("level => \(quoted(level))") }
        return "SELECT \(form.function)(\(arguments.joined(separator: ", ")));"
    }

    private static func quoted(_ text: String) -> String {
        "'\(text.replacing("'", with: "''"))'"
    }
}
