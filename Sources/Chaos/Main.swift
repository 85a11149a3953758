import ArgumentParser

/// Everything at once on real servers, and a check of all that was read.
@main
struct Chaos: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "chaos",
        abstract: "Breaks real servers under load, and checks every answer that readers gave.",
        subcommands: [RunCommand.self, ReaderCommand.self, WriterCommand.self],
        defaultSubcommand: RunCommand.self
    )
}
