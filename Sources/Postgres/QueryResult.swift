import CLibPQ

/// The rows that a statement returned, held in libpq's own memory and freed with this value.
///
/// Rows and columns count from 0; asking for one that does not exist is a programming error.
///
/// `@unchecked Sendable` because libpq never changes a finished result, nobody else has the pointer, and a value that
/// cannot be copied is used in one place at a time.
public struct QueryResult: ~Copyable, @unchecked Sendable {
    /// A raw pointer because libpq's type is opaque; owned, and cleared by `deinit`.
    private let result: OpaquePointer

    /// Takes over the ownership of a finished result.
    init(owning result: OpaquePointer) {
        self.result = result
    }

    deinit {
        PQclear(result)
    }

    /// The number of rows returned.
    public var rowCount: Int { Int(PQntuples(result)) }

    /// The number of columns of each row.
    public var columnCount: Int { Int(PQnfields(result)) }

    /// The number of rows inserted, updated, deleted, moved or selected; 0 for other statements.
    public var affectedRows: Int { Int(String(cString: PQcmdTuples(result))) ?? 0 }

    /// What was done, such as `INSERT 0 5`.
    public var commandTag: String { String(cString: PQcmdStatus(result)) }

    /// The indices of the rows.
    public var rows: Range<Int> { 0..<rowCount }

    /// The column's place, or nil where there is no column of exactly this name.
    public func columnIndex(named name: String) -> Int? {
        // Not PQfnumber, which folds case.
        (0..<columnCount).first { columnName($0) == name }
    }

    /// The column's name, or nil where there are not that many columns.
    public func columnName(_ column: Int) -> String? {
        PQfname(result, Int32(column)).map { String(cString: $0) }
    }

    /// Whether the value is NULL.
    public func isNull(_ row: Int, _ column: Int) -> Bool {
        check(row, column)
        return PQgetisnull(result, Int32(row), Int32(column)) != 0
    }

    /// The value as text, or nil for NULL.
    public func string(_ row: Int, _ column: Int) -> String? {
        withBytes(row, column) { String(decoding: $0, as: UTF8.self) }
    }

    /// The bytes of the value's text, or nil for NULL.
    public func bytes(_ row: Int, _ column: Int) -> [UInt8]? {
        withBytes(row, column) { [UInt8]($0) }
    }

    /// The value as an integer, or nil for NULL; throws `badResult` for anything else.
    public func int64(_ row: Int, _ column: Int) throws(PostgresError) -> Int64? {
        try decode(row, column, as: "an integer of 64 bits") { Number.int64($0) }
    }

    /// The value as a truth value, or nil for NULL; throws `badResult` for anything else.
    public func bool(_ row: Int, _ column: Int) throws(PostgresError) -> Bool? {
        try decode(row, column, as: "a truth value") { bytes in
            if bytes.elementsEqual("t".utf8) { return true }
            if bytes.elementsEqual("f".utf8) { return false }
            return nil
        }
    }

    /// The value as a floating-point number, or nil for NULL; throws `badResult` for anything else.
    public func double(_ row: Int, _ column: Int) throws(PostgresError) -> Double? {
        try decode(row, column, as: "a number") { Double(String(decoding: $0, as: UTF8.self)) }
    }

    /// The value as integers and NULLs, or nil for NULL; throws `badResult` for anything else, nested arrays too.
    public func int64Array(_ row: Int, _ column: Int) throws(PostgresError) -> [Int64?]? {
        try decode(row, column, as: "an array of integers") { bytes in
            do throws(ArrayText.Malformed) { return try ArrayText.decodeIntegers(bytes) } catch { return nil }
        }
    }

    /// The value as texts and NULLs, or nil for NULL; throws `badResult` for anything else, nested arrays too.
    public func stringArray(_ row: Int, _ column: Int) throws(PostgresError) -> [String?]? {
        try decode(row, column, as: "an array of texts") { bytes in
            do throws(ArrayText.Malformed) { return try ArrayText.decodeTexts(bytes) } catch { return nil }
        }
    }

    /// The value as text; throws `badResult` for NULL.
    public func requiredString(_ row: Int, _ column: Int) throws(PostgresError) -> String {
        guard let value = string(row, column) else { throw unexpectedNull(row, column) }
        return value
    }

    /// The value as an integer; throws `badResult` for NULL and for anything else.
    public func requiredInt64(_ row: Int, _ column: Int) throws(PostgresError) -> Int64 {
        guard let value = try int64(row, column) else { throw unexpectedNull(row, column) }
        return value
    }

    /// The value as a truth value; throws `badResult` for NULL and for anything else.
    public func requiredBool(_ row: Int, _ column: Int) throws(PostgresError) -> Bool {
        guard let value = try bool(row, column) else { throw unexpectedNull(row, column) }
        return value
    }

    private func check(_ row: Int, _ column: Int) {
        precondition(rows.contains(row), "row \(row) of a result with \(rowCount) rows")
        precondition((0..<columnCount).contains(column), "column \(column) of a result with \(columnCount) columns")
    }

    /// Lends the value's bytes, which must not escape because they belong to the result.
    private func withBytes<R>(_ row: Int, _ column: Int, _ body: (UnsafeBufferPointer<UInt8>) -> R) -> R? {
        guard !isNull(row, column), let value = PQgetvalue(result, Int32(row), Int32(column)) else { return nil }
        let length = Int(PQgetlength(result, Int32(row), Int32(column)))
        return value.withMemoryRebound(to: UInt8.self, capacity: length) { start in
            body(UnsafeBufferPointer(start: start, count: length))
        }
    }

    private func decode<R>(
        _ row: Int,
        _ column: Int,
        as kind: String,
        _ body: (UnsafeBufferPointer<UInt8>) -> R?
    ) throws(PostgresError) -> R? {
        guard let decoded = withBytes(row, column, body) else { return nil }
        if let decoded { return decoded }
        throw PostgresError(
            .badResult,
            "column \"\(columnName(column) ?? "")\" of row \(row) is not \(kind); cast it in the statement"
        )
    }

    private func unexpectedNull(_ row: Int, _ column: Int) -> PostgresError {
        PostgresError(
            .badResult,
            "column \"\(columnName(column) ?? "")\" of row \(row) is NULL where a value is needed; "
                + "exclude NULLs in the statement"
        )
    }
}
