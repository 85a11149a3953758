import Foundation

/// Files of the repository that tests hold against what they say.
enum Repository {
    /// The text of a file, by its path from the top.
    static func text(_ path: String) throws -> String {
        let here = URL(filePath: #filePath)
        let top = here.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        return try String(contentsOf: top.appending(path: path), encoding: .utf8)
    }

    /// The SQL blocks under a heading of the README, in order.
    static func sql(under heading: String) throws -> [String] {
        let readme = try text("README.md")
        guard let start = readme.range(of: "\n\(heading)\n") else { return [] }
        let section = readme[start.upperBound...]
        let end = section.firstRange(of: "\n## ")?.lowerBound ?? section.endIndex
        return section[..<end].components(separatedBy: "```sql\n").dropFirst().map { block in
            block.components(separatedBy: "```")[0]
        }
    }
}
