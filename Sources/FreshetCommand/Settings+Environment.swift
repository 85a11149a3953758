import Configuration

extension SettingsSource {
    /// The environment: `FRESHET_POSTGRES`, `FRESHET_LOG_LEVEL`, and so on.
    ///
    /// A variable that is set to nothing counts as not set: that is what templates of containers leave behind.
    static func environment() -> SettingsSource {
        environment(EnvironmentVariablesProvider())
    }

    /// The same, of other variables than this process has.
    static func environment(_ variables: [String: String]) -> SettingsSource {
        environment(EnvironmentVariablesProvider(environmentVariables: variables))
    }

    private static func environment(_ provider: EnvironmentVariablesProvider) -> SettingsSource {
        SettingsSource(
            values: provider.prefixKeys(with: "freshet").snapshot(),
            name: { "FRESHET_\($0.rawValue.uppercased().replacing("-", with: "_"))" },
            mistake: .configuration,
            ignoresEmpty: true
        )
    }
}
