/// Takes passwords out of texts that may hold a connection string, whole or in part.
///
/// It errs on the side of hiding too much: an unescaped `@` in a password makes a URI ambiguous, so all between the
/// first `:` of the user part and the last `@` goes.
///
/// It reads bytes, as libpq does: what Swift takes for one character, such as an `@` with an accent, is to libpq an `@` and
/// something else, and what Swift takes for white space need not divide anything.
enum Redaction {
    /// What stands where a password stood.
    static let mark = "***"

    static func redacting(_ text: String) -> String {
        var bytes = Array(text.utf8)
        hideUserInfo(in: &bytes)
        hideParameters(in: &bytes)
        hideAssignments(in: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// `postgresql://user:secret@host` becomes `postgresql://user:***@host`.
    private static func hideUserInfo(in bytes: inout [UInt8]) {
        guard let separator = bytes.firstRange(of: Array("://".utf8)),
            let at = bytes[separator.upperBound...].lastIndex(of: UInt8(ascii: "@")),
            let colon = bytes[separator.upperBound..<at].firstIndex(of: UInt8(ascii: ":"))
        else { return }
        bytes.replaceSubrange((colon + 1)..<at, with: mark.utf8)
    }

    /// `?password=secret&…` becomes `?password=***&…`, also where the keyword is percent-encoded in part.
    private static func hideParameters(in bytes: inout [UInt8]) {
        guard let separator = bytes.firstRange(of: Array("://".utf8)) else { return }
        var start = separator.upperBound
        while let delimiter = bytes[start...].firstIndex(where: { $0 == UInt8(ascii: "?") || $0 == UInt8(ascii: "&") })
        {
            start = delimiter + 1
            let end = bytes[start...].firstIndex(of: UInt8(ascii: "&")) ?? bytes.endIndex
            guard let equals = bytes[start..<end].firstIndex(of: UInt8(ascii: "=")),
                endsInPassword(decoded(bytes[start..<equals]))
            else { continue }
            bytes.replaceSubrange((equals + 1)..<end, with: mark.utf8)
            start = equals + 1 + mark.utf8.count
        }
    }

    /// `password=secret` and `password = 'se cret'` become `password=***`; so does every keyword that ends in
    /// "password".
    private static func hideAssignments(in bytes: inout [UInt8]) {
        var start = 0
        while let found = bytes[start...].indices.first(where: { endsInPassword(bytes[start...$0]) }) {
            let keywordEnd = found + 1
            start = keywordEnd
            guard let equals = bytes[keywordEnd...].firstIndex(where: { !isSpace($0) }),
                bytes[equals] == UInt8(ascii: "=")
            else { continue }
            // In a URI's query the value ends at "&"; elsewhere "&" may be a part of the password.
            let before = bytes[..<keywordEnd].last { $0 == UInt8(ascii: "?") || $0 == UInt8(ascii: "&") || isSpace($0) }
            let isQuery = before.map { !isSpace($0) } ?? false
            let value = bytes[(equals + 1)...].firstIndex { isQuery || !isSpace($0) } ?? bytes.endIndex
            bytes.replaceSubrange(
                keywordEnd..<endOfValue(bytes, from: value, isQuery: isQuery),
                with: ("=" + mark).utf8
            )
            start = keywordEnd + 1 + mark.utf8.count
        }
    }

    private static func endOfValue(_ bytes: [UInt8], from start: Int, isQuery: Bool) -> Int {
        if isQuery { return bytes[start...].firstIndex(of: UInt8(ascii: "&")) ?? bytes.endIndex }
        let isQuoted = start < bytes.endIndex && bytes[start] == UInt8(ascii: "'")
        var index = isQuoted ? start + 1 : start
        while index < bytes.endIndex {
            if bytes[index] == UInt8(ascii: "\\") {
                index += 2
            } else if isQuoted && bytes[index] == UInt8(ascii: "'") {
                return index + 1
            } else if !isQuoted && isSpace(bytes[index]) {
                return index
            } else {
                index += 1
            }
        }
        return bytes.endIndex
    }

    private static func endsInPassword(_ bytes: some BidirectionalCollection<UInt8>) -> Bool {
        bytes.suffix(8).elementsEqual("password".utf8) { $0 | 0x20 == $1 }
    }

    /// As C has it, which libpq goes by.
    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || (0x09...0x0D).contains(byte)
    }

    private static func decoded(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        var decoded: [UInt8] = []
        var rest = bytes
        while let byte = rest.popFirst() {
            let digits = String(decoding: rest.prefix(2), as: UTF8.self)
            if byte == UInt8(ascii: "%"), digits.utf8.count == 2, let value = UInt8(digits, radix: 16) {
                decoded.append(value)
                rest = rest.dropFirst(2)
            } else {
                decoded.append(byte)
            }
        }
        return decoded
    }
}
