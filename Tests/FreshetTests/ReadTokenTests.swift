import Freshet
import Keyspace
import Testing

struct ReadTokenTests {
    @Test(arguments: ["7/1/abc 1099511627776", "7/1/abc 10:14:11,13", "7/1/- 10:10:"])
    func `a token survives the way through its text`(text: String) throws {
        let token = try #require(ReadToken(text))
        #expect(token.description == text)
        #expect(ReadToken(token.description) == token)
    }

    @Test func `a token of a transaction id is the one that Postgres would give`() {
        #expect(ReadToken(transaction: 12, postgres: "7/1/abc") == ReadToken("7/1/abc 12"))
    }

    @Test(arguments: ["", " ", "12", "7/1/abc", "7/1/abc -1", "7/1/abc x", " 12", "7/1/abc 1 2", "7/1/abc 1:2"])
    func `any other text is none`(text: String) {
        #expect(ReadToken(text) == nil)
    }

    @Test func `a snapshot contains what is below it and not in progress`() throws {
        let snapshot = try #require(TransactionSnapshot("10:14:11,13"))
        #expect([9, 10, 12].allSatisfy { snapshot.contains($0) })
        #expect(![11, 13, 14, 15].contains { snapshot.contains($0) })
        #expect(TransactionSnapshot("10:10:")?.contains(9) == true)
        #expect(["", "1", "1:2", "2:1:", "a:b:", "1:2:x", "1:2:3:4"].allSatisfy { TransactionSnapshot($0) == nil })
    }

    @Test(arguments: [
        ("10:14:11,13", "10:14:11,13", true), ("10:14:13", "10:14:11,13", true), ("10:14:11,13", "10:14:13", false),
        ("10:20:11,15", "10:14:11,13", true), ("10:13:", "10:14:", false), ("14:14:", "10:14:11", true),
        ("10:20:12", "10:14:11", false),
    ])
    func `a snapshot contains another where nothing visible there is in progress here`(
        snapshot: String,
        other: String,
        isContained: Bool
    ) throws {
        let left = try #require(TransactionSnapshot(snapshot))
        let right = try #require(TransactionSnapshot(other))
        #expect(left.contains(right) == isContained)
        // By definition, one transaction at a time.
        #expect((0..<30).allSatisfy { !right.contains($0) || left.contains($0) } == isContained)
    }
}
