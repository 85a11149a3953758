import FoundationEssentials
import Testing

@testable import Migrations

@Suite struct MigrationCatalogTests {
    private static let folder = #filePath.replacing(/\/Tests\/MigrationsTests\/[^\/]*$/, with: "/sql")

    @Test func `the catalog has every migration of the folder, in the order of names, byte for byte`() throws {
        let files = try FileManager.default.contentsOfDirectory(atPath: Self.folder)
            .filter { $0.prefixMatch(of: /m\d{4}_/) != nil }
            .sorted()
        #expect(MigrationCatalog.migrations.map { "\($0.name).sql" } == files)
        for migration in MigrationCatalog.migrations {
            let data = try #require(FileManager.default.contents(atPath: "\(Self.folder)/\(migration.name).sql"))
            #expect(migration.bytes == Array(data), "\(migration.name)")
        }
        let uninstall = try #require(FileManager.default.contents(atPath: "\(Self.folder)/uninstall.sql"))
        #expect(MigrationCatalog.uninstall == String(decoding: uninstall, as: UTF8.self))
    }

    @Test func `psql installs the same migrations under the same lock`() throws {
        let install = try String(contentsOfFile: "\(Self.folder)/install.sql", encoding: .utf8)
        let apply = try String(contentsOfFile: "\(Self.folder)/apply.sql", encoding: .utf8)
        let listed = install.matches(of: /\\set migration (\S+)/).map { String($0.1) }
        #expect(listed == MigrationCatalog.migrations.map(\.name))
        #expect(apply.contains("pg_advisory_xact_lock(\(MigrationScript.advisoryLock))"))
        #expect(MigrationCatalog.uninstall.contains("pg_advisory_xact_lock(\(MigrationScript.advisoryLock))"))
    }
}
