/// A value for `$1`, `$2`, … of a statement, in Postgres' text format, or NULL.
///
/// The server decides the type from the statement; write a cast (`$1::bigint[]`) where the statement leaves it open.
public struct PostgresParameter: Sendable, Hashable {
    /// The text sent to the server; nil is NULL.
    public let text: String?

    /// The text as it is; nil is NULL.
    public init(_ text: String?) {
        self.text = text
    }

    /// An integer.
    public init(_ value: some BinaryInteger) {
        self.text = String(value)
    }

    /// An integer or NULL.
    public init(_ value: (some BinaryInteger)?) {
        self.text = value.map { String($0) }
    }

    /// A truth value.
    public init(_ value: Bool) {
        self.text = value ? "t" : "f"
    }

    /// A floating-point number, with as many digits as it takes to read the same number back.
    public init(_ value: Double) {
        // Postgres reads "NaN" and "Infinity"; Swift writes "nan" and "inf", which Postgres reads as well.
        self.text = String(value)
    }

    /// SQL's NULL.
    public static let null = PostgresParameter(nil as String?)

    /// An array of integers (`bigint[]`).
    public static func array(_ values: some Sequence<Int64>) -> PostgresParameter {
        PostgresParameter(ArrayText.encode(integers: values))
    }

    /// An array of integers and NULLs (`bigint[]`).
    public static func array(_ values: some Sequence<Int64?>) -> PostgresParameter {
        PostgresParameter(ArrayText.encode(integers: values))
    }

    /// An array of texts (`text[]`), quoted as needed.
    public static func array(_ values: some Sequence<String>) -> PostgresParameter {
        PostgresParameter(ArrayText.encode(texts: values))
    }

    /// An array of texts and NULLs (`text[]`), quoted as needed.
    public static func array(_ values: some Sequence<String?>) -> PostgresParameter {
        PostgresParameter(ArrayText.encode(texts: values))
    }

    /// An array of truth values (`boolean[]`).
    public static func array(_ values: some Sequence<Bool>) -> PostgresParameter {
        PostgresParameter("{" + values.map { $0 ? "t" : "f" }.joined(separator: ",") + "}")
    }
}

extension PostgresParameter: ExpressibleByStringLiteral, ExpressibleByStringInterpolation {
    /// The text of the literal.
    public init(stringLiteral value: String) {
        self.init(value)
    }
}

extension PostgresParameter: ExpressibleByIntegerLiteral {
    /// The integer of the literal.
    public init(integerLiteral value: Int64) {
        self.init(value)
    }
}

extension PostgresParameter: ExpressibleByBooleanLiteral {
    /// The truth value of the literal.
    public init(booleanLiteral value: Bool) {
        self.init(value)
    }
}

extension PostgresParameter: ExpressibleByFloatLiteral {
    /// The number of the literal.
    public init(floatLiteral value: Double) {
        self.init(value)
    }
}

extension PostgresParameter: ExpressibleByNilLiteral {
    /// SQL's NULL.
    public init(nilLiteral: ()) {
        self.init(nil as String?)
    }
}
