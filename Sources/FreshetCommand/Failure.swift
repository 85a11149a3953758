/// Why a command cannot do what it was asked: one line for a person, and the status that the process ends with.
struct Failure: Error, CustomStringConvertible {
    let status: ExitStatus
    /// One line that names the thing, the value and the mend, without a secret.
    let message: String

    init(_ status: ExitStatus, _ message: String) {
        self.status = status
        self.message = Redaction.line(message)
    }

    var description: String { message }
}
