/// Keeps secrets out of what people read.
enum Redaction {
    /// Where a URL or a connection string ends.
    enum Context {
        /// At white space or a quotation mark: it is a part of a sentence.
        case sentence
        /// At the end: it is all there is.
        case argument
    }

    /// The text on one line that a terminal does not obey, without what could be the password of a URL or a connection string.
    static func line(_ text: String) -> String {
        var bytes = Array(text.utf8)
        for range in secretRanges(in: bytes, .sentence).reversed() { bytes.replaceSubrange(range, with: "***".utf8) }
        let line = String(decoding: bytes, as: UTF8.self)
            .split(whereSeparator: \.isNewline)
            .map { $0.trimmingSpaces() }
            .joined(separator: " ")
        return visible(line)
    }

    /// The text with a space for each character that a terminal might obey, or show otherwise than it stands there.
    static func visible(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.map { $0.isControl ? " " : $0 }))
    }

    /// Where passwords stand: `scheme://…:HERE@…`, `password=HERE`, `password='HERE'`, in order.
    static func secretRanges(in bytes: [UInt8], _ context: Context) -> [Range<Int>] {
        var ranges: [Range<Int>] = []
        var start = 0
        while let separator = bytes[start...].firstRange(of: Array("://".utf8)) {
            let authority = separator.upperBound
            // To the last @ before the end: a password with an unescaped / or ? is one too.
            let end = bytes[authority...].firstIndex { context == .sentence && isBoundary($0) } ?? bytes.endIndex
            if let at = bytes[authority..<end].lastIndex(of: UInt8(ascii: "@")) {
                if let colon = bytes[authority..<at].firstIndex(of: UInt8(ascii: ":")), colon + 1 < at,
                    !isRedacted(bytes[(colon + 1)..<at])
                {
                    ranges.append((colon + 1)..<at)
                }
            }
            start = end
        }
        start = 0
        let (keywords, ends) = decoded(bytes)
        while let found = keywords[start...].firstRange(of: Array("password".utf8)) {
            start = found.upperBound
            var index = ends[found.upperBound - 1]
            while index < bytes.endIndex, isSpace(bytes[index]) { index += 1 }
            guard index < bytes.endIndex, bytes[index] == UInt8(ascii: "=") else { continue }
            index += 1
            while index < bytes.endIndex, isSpace(bytes[index]) { index += 1 }
            let end = endOfValue(bytes, from: index, context)
            if index < end, !isRedacted(bytes[index..<end]) { ranges.append(index..<end) }
            start = ends.firstIndex { $0 > end } ?? ends.endIndex
        }
        ranges.sort { $0.lowerBound < $1.lowerBound }
        return ranges.reduce(into: []) { merged, range in
            if let last = merged.last, last.overlaps(range) {
                merged[merged.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
            } else {
                merged.append(range)
            }
        }
    }

    /// The bytes in lower case, percent escapes decoded, as keywords are read in a URL; and where each ends in the original.
    private static func decoded(_ bytes: [UInt8]) -> (bytes: [UInt8], ends: [Int]) {
        var (decoded, ends): ([UInt8], [Int]) = ([], [])
        var index = 0
        while index < bytes.count {
            var byte = bytes[index]
            index += 1
            let digits = String(decoding: bytes[index...].prefix(2), as: UTF8.self)
            if byte == UInt8(ascii: "%"), digits.utf8.count == 2, let value = UInt8(digits, radix: 16) {
                byte = value
                index += 2
            }
            decoded.append((0x41...0x5A).contains(byte) ? byte | 0x20 : byte)
            ends.append(index)
        }
        return (decoded, ends)
    }

    private static func isBoundary(_ byte: UInt8) -> Bool {
        byte <= 0x20 || byte == UInt8(ascii: "\"")
    }

    /// As C has it, which libpq goes by.
    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || (0x09...0x0D).contains(byte)
    }

    /// Whether there is nothing to hide: it is hidden already, or it is the word of our own examples.
    private static func isRedacted(_ bytes: ArraySlice<UInt8>) -> Bool {
        bytes.allSatisfy { $0 == UInt8(ascii: "*") } || bytes.elementsEqual("password".utf8)
    }

    /// The end of a value as libpq reads it: quoted with backslashes, or up to white space; in a sentence also up to a quotation
    /// mark or the next URL parameter.
    private static func endOfValue(_ bytes: [UInt8], from start: Int, _ context: Context) -> Int {
        guard start < bytes.endIndex else { return start }
        var index = start
        if bytes[start] == UInt8(ascii: "'") {
            index += 1
            while index < bytes.endIndex, bytes[index] != UInt8(ascii: "'") {
                index += bytes[index] == UInt8(ascii: "\\") ? 2 : 1
            }
            return min(index + 1, bytes.endIndex)
        }
        func isEnd(_ byte: UInt8) -> Bool {
            context == .sentence ? isBoundary(byte) || byte == UInt8(ascii: "&") : isSpace(byte)
        }
        while index < bytes.endIndex, !isEnd(bytes[index]) {
            index += bytes[index] == UInt8(ascii: "\\") ? 2 : 1
        }
        return min(index, bytes.endIndex)
    }
}

extension Substring {
    fileprivate func trimmingSpaces() -> Substring {
        var text = self
        while text.first?.isWhitespace == true { text.removeFirst() }
        while text.last?.isWhitespace == true { text.removeLast() }
        return text
    }
}

extension Unicode.Scalar {
    /// Whether a terminal may take it for an order, begin another line at it, or show what follows in another direction or not at all.
    fileprivate var isControl: Bool {
        switch properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator: true
        default: false
        }
    }
}
