import Glibc

/// The values of a statement's parameters as libpq wants them: pointers to texts that end in NUL.
///
/// All texts lie in one buffer, so that any number of parameters costs one allocation.
struct ParameterBuffer {
    private var characters: [CChar] = []
    private var offsets: [Int?] = []

    /// Copies the values; throws `invalidParameter` where one holds a NUL, which would cut it short.
    init(_ parameters: [PostgresParameter]) throws(PostgresError) {
        offsets.reserveCapacity(parameters.count)
        for (index, parameter) in parameters.enumerated() {
            guard let text = parameter.text else {
                offsets.append(nil)
                continue
            }
            offsets.append(characters.count)
            guard Self.append(text, to: &characters) else {
                throw PostgresError(
                    .invalidParameter,
                    "parameter $\(index + 1) holds a NUL character, which Postgres cannot store; remove it"
                )
            }
        }
    }

    /// Copies a text and ends it with NUL; false where it holds one itself.
    private static func append(_ text: String, to characters: inout [CChar]) -> Bool {
        var text = text
        return text.withUTF8 { bytes in
            // In one piece rather than byte by byte: parameters can be arrays of many thousands of ids.
            bytes.withMemoryRebound(to: CChar.self) { characters.append(contentsOf: $0) }
            characters.append(0)
            guard let start = bytes.baseAddress else { return true }
            return memchr(start, 0, bytes.count) == nil
        }
    }

    /// Lends the pointers, which must not escape because they point into this buffer; libpq copies what it sends.
    func withValues(_ body: (Int32, [UnsafePointer<CChar>?]) -> Int32) -> Int32 {
        characters.withUnsafeBufferPointer { characters in
            body(
                Int32(offsets.count),
                offsets.map { offset in offset.flatMap { characters.baseAddress?.advanced(by: $0) } }
            )
        }
    }
}
