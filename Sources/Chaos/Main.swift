import ArgumentParser

/// Everything at once on real servers, and a check of what is read.
@main
struct Chaos: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "chaos",
        abstract: "Breaks real servers under load, and checks what is read meanwhile.",
        subcommands: [RunCommand.self, ReaderCommand.self, WriterCommand.self],
        defaultSubcommand: RunCommand.self
    )
}
