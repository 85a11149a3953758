import Foundation
import Testing

struct ReadmeTests {
    @Test func `the example of the README is the one that is compiled here`() throws {
        let here = URL(filePath: #filePath)
        let readme = here.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "README.md")
        let example = here.deletingLastPathComponent().appending(path: "ReadmeExample.swift")
        let text = try String(contentsOf: readme, encoding: .utf8)
        #expect(text.contains("```swift\n" + (try String(contentsOf: example, encoding: .utf8)) + "```"))
    }
}
