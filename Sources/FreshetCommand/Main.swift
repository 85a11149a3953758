import ArgumentParser
import Glibc

@main
struct Main {
    static func main() async {
        // A reader who leaves (`freshet status | head -1`) must not kill us: the write fails instead.
        signal(SIGPIPE, SIG_IGN)
        // Before anything else runs that reads the environment.
        _ = ServiceUnit.manager
        let status = await run(Array(ArgumentScrubber.takeArguments().dropFirst()))
        exit(status.rawValue)
    }

    private static func run(_ arguments: [String]) async -> ExitStatus {
        do {
            // The root by itself has nothing to do but show its help.
            var command = try await RootCommand.asyncParseAsRoot(arguments.isEmpty ? ["--help"] : arguments)
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
            return .done
        } catch let status as ExitCode {
            return ExitStatus(rawValue: status.rawValue) ?? .defect
        } catch {
            let failure: Failure
            switch RootCommand.exitCode(for: error) {
            case .success:
                do {
                    try Terminal.write(RootCommand.fullMessage(for: error))
                    return .done
                } catch {
                    failure = error
                }
            case .validationFailure:
                let name = (["freshet"] + commandName(in: arguments)).joined(separator: " ")
                failure = Failure(.usage, "\(RootCommand.message(for: error)); see \(name) --help")
            default:
                failure = Failure(classifying: error)
            }
            Terminal.complain(failure.message)
            return failure.status
        }
    }

    private static func commandName(in arguments: [String]) -> [String] {
        let names = RootCommand.configuration.subcommands.map { $0._commandName }
        return arguments.first.flatMap { names.contains($0) ? [$0] : nil } ?? []
    }
}

extension ExitStatus {
    /// What a command throws that has given its answer and ends with this status.
    var exitCode: ExitCode { ExitCode(rawValue) }
}
