/// How a process ends, in the words of sysexits.h where it has one.
enum ExitStatus: Int32, Sendable {
    /// Done.
    case done = 0
    /// The thing that was asked about is not well.
    case unwell = 1
    /// The command line cannot be understood.
    case usage = 64
    /// A server, or a program that is needed, cannot be reached.
    case unreachable = 69
    /// A defect of ours.
    case defect = 70
    /// A login or a privilege is missing.
    case permission = 77
    /// Something is configured wrongly.
    case configuration = 78
}
