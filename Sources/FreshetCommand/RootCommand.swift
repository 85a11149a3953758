import ArgumentParser

/// `freshet`.
struct RootCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "freshet",
        abstract: "Keeps a cache in Redis correct while any program writes the tables in Postgres.",
        discussion: """
            Flags win over the environment (FRESHET_…), the environment over the file of --config, the file over defaults.

            EXAMPLE
              See it work, with servers of its own:
                $ freshet demo
              Install it and run it:
                $ export FRESHET_POSTGRES=postgresql://db.example/app
                $ export FRESHET_REDIS=rediss://cache.example
                $ freshet migrate && freshet run

            EXIT STATUS
               0  done
               1  the thing asked about is not well
              64  usage
              69  a server cannot be reached
              70  a defect of ours
              77  permission
              78  configuration
            """,
        version: version,
        subcommands: [
            DemoCommand.self, MigrateCommand.self, RunCommand.self, LookupCommand.self, InvalidateCommand.self,
            CacheCommand.self, StatusCommand.self, AuditCommand.self, DoctorCommand.self, WatchCommand.self,
            TopCommand.self, ExplainCommand.self,
        ]
    )

    /// The version of this program.
    static let version = "0.1.0"
}
