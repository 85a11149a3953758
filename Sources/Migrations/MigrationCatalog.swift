// The files of sql/, embedded at build time (`sql` in this folder is a symbolic link to the top-level one), so that the
// executable needs no files beside it. Embedding offers no list of what is there: a test compares this one with the folder.

/// The SQL that this program carries.
public enum MigrationCatalog {
    /// All migrations, in the order of application.
    public static let migrations: [Migration] = [
        Migration(name: "m0001_roles", bytes: PackageResources.m0001_roles_sql),
        Migration(name: "m0002_journal", bytes: PackageResources.m0002_journal_sql),
        Migration(name: "m0003_attached", bytes: PackageResources.m0003_attached_sql),
        Migration(name: "m0004_triggers", bytes: PackageResources.m0004_triggers_sql),
        Migration(name: "m0005_attach", bytes: PackageResources.m0005_attach_sql),
        Migration(name: "m0006_workflows", bytes: PackageResources.m0006_workflows_sql),
        Migration(name: "m0007_token", bytes: PackageResources.m0007_token_sql),
        Migration(name: "m0008_datasources", bytes: PackageResources.m0008_datasources_sql),
        Migration(name: "m0009_auditor", bytes: PackageResources.m0009_auditor_sql),
    ]

    /// What removes everything again, run as one transaction.
    public static let uninstall = String(decoding: PackageResources.uninstall_sql, as: UTF8.self)
}
