import Testing

@testable import Postgres

@Suite struct ArrayTextTests {
    @Test(
        arguments: [
            ("{}", []), ("{1}", [1]), ("{1,2,NULL}", [1, 2, nil]), ("[0:2]={1,2,3}", [1, 2, 3]),
            ("{ 1 , -2 }", [1, -2]),
            ("{null,NULL}", [nil, nil]), ("{\"7\"}", [7]),
            ("{-9223372036854775808,9223372036854775807}", [Int64.min, Int64.max]),
        ] as [(String, [Int64?])]
    )
    func `integer arrays are read as a server writes them`(text: String, expected: [Int64?]) throws {
        #expect(try ArrayText.decodeIntegers(text.utf8) == expected)
    }

    @Test(arguments: [
        "", "1", "{", "}", "{1", "{1,}", "{,1}", "{1}2", "{{1},{2}}", "{1 2}", "{x}", "{\"NULL\"}",
        "{9223372036854775808}",
        "{1\"2\"}", "[0:1]", "{\"1", "{1\\",
    ])
    func `what is no array of integers is refused`(text: String) {
        #expect(throws: ArrayText.Malformed.self) { try ArrayText.decodeIntegers(text.utf8) }
    }

    @Test(
        arguments: [
            ("{a,b}", ["a", "b"]), ("{\"a,b\",NULL,\"NULL\",\"\"}", ["a,b", nil, "NULL", ""]),
            ("{\"say \\\"hi\\\"\",\"back\\\\slash\",\"{x}\"}", ["say \"hi\"", "back\\slash", "{x}"]),
            ("{two words , x}", ["two words", "x"]), ("{ä€😀}", ["ä€😀"]),
        ] as [(String, [String?])]
    )
    func `text arrays are read as a server writes them`(text: String, expected: [String?]) throws {
        #expect(try ArrayText.decodeTexts(text.utf8) == expected)
    }

    @Test func `a text array that was written is read back the same`() throws {
        let values: [String?] = [
            "", nil, "NULL", "null", "a", "a,b", "{}", "\"", "\\", "\\\"", " padded ", "line\nbreak",
            "{\"x\":[1,\"\\\\\"]}",
            "😀", "'",
        ]
        #expect(try ArrayText.decodeTexts(ArrayText.encode(texts: values).utf8) == values)
    }

    @Test func `an integer array that was written is read back the same`() throws {
        let values: [Int64?] = [0, -1, nil, .min, .max]
        #expect(try ArrayText.decodeIntegers(ArrayText.encode(integers: values).utf8) == values)
        #expect(ArrayText.encode(integers: [Int64]()) == "{}")
        #expect(ArrayText.encode(texts: [String]()) == "{}")
    }

    @Test func `parameters say what is meant`() {
        #expect(PostgresParameter.array([1, nil, 3] as [Int64?]).text == "{1,NULL,3}")
        #expect(PostgresParameter.array([4, 5] as [Int64]).text == "{4,5}")
        #expect(PostgresParameter.array(["a", "b\"c"]).text == #"{"a","b\"c"}"#)
        #expect(PostgresParameter.array([true, false]).text == "{t,f}")
        #expect((nil as PostgresParameter).text == nil)
        #expect((-7 as PostgresParameter).text == "-7")
        #expect(("x" as PostgresParameter).text == "x")
        #expect((true as PostgresParameter).text == "t")
        #expect(PostgresParameter(UInt64.max).text == "18446744073709551615")
        #expect(PostgresParameter(nil as Int64?) == .null)
    }

    @Test(
        arguments: [
            ("0", 0), ("-0", 0), ("+5", 5), ("007", 7), ("9223372036854775807", Int64.max),
            ("-9223372036854775808", Int64.min),
            ("9223372036854775808", nil), ("-9223372036854775809", nil), ("", nil), ("-", nil), ("1 ", nil),
            ("1.0", nil),
            ("x", nil),
        ] as [(String, Int64?)]
    )
    func `integers are read exactly or not at all`(text: String, expected: Int64?) {
        #expect(Number.int64(text.utf8) == expected)
    }

    @Test func `a parameter with a NUL character is refused, not cut short`() throws {
        let error = #expect(throws: PostgresError.self) { _ = try ParameterBuffer(["fine", "a\0b"]) }
        #expect(error?.code == .invalidParameter)
        #expect(error?.message.contains("$2") == true)
    }

    @Test func `names and texts are quoted`() {
        #expect(SQLText.identifier("a\"b") == "\"a\"\"b\"")
        #expect(SQLText.identifier("public", "t") == "\"public\".\"t\"")
        #expect(SQLText.literal("it's") == "'it''s'")
        #expect(SQLText.literal("a\\'b") == " E'a\\\\''b'")
    }
}
