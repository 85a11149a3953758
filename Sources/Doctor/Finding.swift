/// What one check found: something wrong, something to know, or that all is well.
package struct Finding: Hashable, Sendable {
    /// How much it matters.
    package enum Severity: String, Hashable, Sendable, CaseIterable {
        /// It matters: something does not work, will not, or may do more than it should.
        case problem
        /// Things work; they would be better otherwise.
        case advice
        /// The check could not be made, for lack of a privilege or because another problem is in the way.
        case unchecked
        /// To know, neither good nor bad.
        case information
        /// The check was made and found nothing.
        case well
    }

    /// The name of the check, for programs: it stays as it is.
    package var check: Check
    package var severity: Severity
    /// What it is about, where the check is made of several things: a table, a function, a role, a cache.
    package var subject: String?
    /// What was found, with its value, on one line.
    package var what: String
    /// Why that matters, on one line; empty where nothing is wrong.
    package var why: String
    /// What ends it.
    package var mend: Mend?

    package init(
        _ check: Check,
        _ severity: Severity,
        subject: String? = nil,
        _ what: String,
        why: String = "",
        mend: Mend? = nil
    ) {
        self.check = check
        self.severity = severity
        self.subject = subject
        self.what = what
        self.why = why
        self.mend = mend
    }
}

/// How a finding is mended.
package enum Mend: Hashable, Sendable {
    /// Statements for psql, in this database, by the owner of what they change or a superuser.
    case sql(String)
    /// A command for a shell.
    case shell(String)
    /// What no command can do.
    case advice(String)

    /// The name for programs.
    package var kind: String {
        switch self {
        case .sql: "sql"
        case .shell: "shell"
        case .advice: "advice"
        }
    }

    /// The command, or the text.
    package var text: String {
        switch self {
        case .sql(let text), .shell(let text), .advice(let text): text
        }
    }
}
