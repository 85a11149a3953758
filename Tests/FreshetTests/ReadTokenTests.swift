import Freshet
import Keyspace
import Testing

struct ReadTokenTests {
    @Test func `a token survives the way through its text`() {
        let token = ReadToken(transaction: 1 << 40, postgres: "7/1/abc")
        #expect(ReadToken(token.description) == token)
        #expect(ReadToken("7/1/abc 12")?.transaction == 12)
    }

    @Test(arguments: ["", " ", "12", "7/1/abc", "7/1/abc -1", "7/1/abc x", " 12", "7/1/abc 1 2"])
    func `any other text is none`(text: String) {
        #expect(ReadToken(text) == nil)
    }

    @Test func `a snapshot contains what is below it and not in progress`() throws {
        let snapshot = try #require(AppliedSnapshot("10:14:11,13"))
        #expect([9, 10, 12].allSatisfy(snapshot.contains))
        #expect(![11, 13, 14, 15].contains(where: snapshot.contains))
        #expect(AppliedSnapshot("10:10:")?.contains(9) == true)
        #expect(["", "1", "1:2", "2:1:", "a:b:", "1:2:x", "1:2:3:4"].allSatisfy { AppliedSnapshot($0) == nil })
    }
}
