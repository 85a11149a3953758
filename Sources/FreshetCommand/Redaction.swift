/// Keeps secrets out of what people read.
enum Redaction {
    /// The text on one line, without what could be the password of a URL or a connection string.
    static func line(_ text: String) -> String {
        let secrets = text.utf8.withContiguousStorageIfAvailable { secretRanges(in: Array($0)) } ?? []
        var bytes = Array(text.utf8)
        for range in secrets.reversed() { bytes.replaceSubrange(range, with: "***".utf8) }
        return String(decoding: bytes, as: UTF8.self)
            .split(whereSeparator: \.isNewline)
            .map { $0.trimmingSpaces() }
            .joined(separator: " ")
    }

    /// Where passwords stand: `scheme://…:HERE@…`, `password=HERE`, `password='HERE'`, in order.
    static func secretRanges(in bytes: [UInt8]) -> [Range<Int>] {
        var ranges: [Range<Int>] = []
        var start = 0
        while let separator = bytes[start...].firstRange(of: Array("://".utf8)) {
            let authority = separator.upperBound
            // To the last @ before white space or a quotation mark: a password with an unescaped / or ? is one too.
            let end = bytes[authority...].firstIndex { isBoundary($0) } ?? bytes.endIndex
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
        let lowered = bytes.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }
        while let found = lowered[start...].firstRange(of: Array("password".utf8)) {
            start = found.upperBound
            var index = found.upperBound
            while index < bytes.endIndex, bytes[index] == UInt8(ascii: " ") { index += 1 }
            guard index < bytes.endIndex, bytes[index] == UInt8(ascii: "=") else { continue }
            index += 1
            while index < bytes.endIndex, bytes[index] == UInt8(ascii: " ") { index += 1 }
            let end = endOfValue(bytes, from: index)
            if index < end, !isRedacted(bytes[index..<end]) { ranges.append(index..<end) }
            start = max(start, end)
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

    private static func isBoundary(_ byte: UInt8) -> Bool {
        byte <= 0x20 || byte == UInt8(ascii: "\"")
    }

    /// Whether there is nothing to hide: it is hidden already, or it is the word of our own examples.
    private static func isRedacted(_ bytes: ArraySlice<UInt8>) -> Bool {
        bytes.allSatisfy { $0 == UInt8(ascii: "*") } || bytes.elementsEqual("password".utf8)
    }

    /// The end of a value as libpq reads it: quoted with backslashes, or up to white space or the next URL parameter.
    private static func endOfValue(_ bytes: [UInt8], from start: Int) -> Int {
        guard start < bytes.endIndex else { return start }
        var index = start
        if bytes[start] == UInt8(ascii: "'") {
            index += 1
            while index < bytes.endIndex, bytes[index] != UInt8(ascii: "'") {
                index += bytes[index] == UInt8(ascii: "\\") ? 2 : 1
            }
            return min(index + 1, bytes.endIndex)
        }
        while index < bytes.endIndex, !isBoundary(bytes[index]), bytes[index] != UInt8(ascii: "&") {
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
