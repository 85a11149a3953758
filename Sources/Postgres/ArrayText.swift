/// The text form of one-dimensional Postgres arrays: `{1,NULL,3}` and `{a,"b, c",NULL}`.
///
/// Reading accepts what a server writes: an optional prefix of bounds (`[0:2]={…}`), quoted elements with backslash
/// escapes, and NULL unquoted in any case. Nested arrays are refused, for nothing here needs them and flattening them
/// silently would lose their shape.
package enum ArrayText {
    /// Why a text is no array.
    package struct Malformed: Error {}

    package static func encode(integers: some Sequence<Int64>) -> String {
        var text = "{"
        for value in integers {
            if text.utf8.count > 1 { text += "," }
            text += String(value)
        }
        return text + "}"
    }

    static func encode(integers: some Sequence<Int64?>) -> String {
        var text = "{"
        for value in integers {
            if text.utf8.count > 1 { text += "," }
            text += value.map { String($0) } ?? "NULL"
        }
        return text + "}"
    }

    static func encode(texts: some Sequence<String>) -> String {
        encode(texts: texts.lazy.map { Optional($0) })
    }

    static func encode(texts: some Sequence<String?>) -> String {
        var text: [UInt8] = [UInt8(ascii: "{")]
        for value in texts {
            if text.count > 1 { text.append(UInt8(ascii: ",")) }
            guard let value else {
                text.append(contentsOf: "NULL".utf8)
                continue
            }
            // Every text is quoted: which ones need it depends on spaces, braces, case of NULL and emptiness, and a
            // quoted one is never wrong.
            text.append(UInt8(ascii: "\""))
            for byte in value.utf8 {
                if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { text.append(UInt8(ascii: "\\")) }
                text.append(byte)
            }
            text.append(UInt8(ascii: "\""))
        }
        text.append(UInt8(ascii: "}"))
        return String(decoding: text, as: UTF8.self)
    }

    package static func decodeIntegers(_ bytes: some Collection<UInt8>) throws(Malformed) -> [Int64?] {
        var values: [Int64?] = []
        try forEachElement(of: bytes) { (element, isQuoted) throws(Malformed) in
            if isNull(element, isQuoted) {
                values.append(nil)
            } else if let value = Number.int64(element) {
                values.append(value)
            } else {
                throw Malformed()
            }
        }
        return values
    }

    static func decodeTexts(_ bytes: some Collection<UInt8>) throws(Malformed) -> [String?] {
        var values: [String?] = []
        try forEachElement(of: bytes) { (element, isQuoted) throws(Malformed) in
            values.append(isNull(element, isQuoted) ? nil : String(decoding: element, as: UTF8.self))
        }
        return values
    }

    private static func isNull(_ element: [UInt8], _ isQuoted: Bool) -> Bool {
        !isQuoted && element.count == 4 && element.elementsEqual("NULL".utf8) { $0 & 0xDF == $1 }
    }

    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || (0x09...0x0D).contains(byte)
    }

    /// Hands each element, with its quotes and escapes taken away, to the body.
    private static func forEachElement(
        of bytes: some Collection<UInt8>,
        _ body: ([UInt8], _ isQuoted: Bool) throws(Malformed) -> Void
    ) throws(Malformed) {
        var iterator = bytes.makeIterator()
        var byte = iterator.next()
        if byte == UInt8(ascii: "[") {
            while let next = byte, next != UInt8(ascii: "=") { byte = iterator.next() }
            byte = iterator.next()
        }
        guard byte == UInt8(ascii: "{") else { throw Malformed() }
        byte = iterator.next()
        var isFirst = true
        var element: [UInt8] = []
        while true {
            while let next = byte, isSpace(next) { byte = iterator.next() }
            if isFirst, byte == UInt8(ascii: "}") { break }
            isFirst = false
            element.removeAll(keepingCapacity: true)
            var isQuoted = false
            if byte == UInt8(ascii: "\"") {
                isQuoted = true
                byte = iterator.next()
                while let next = byte, next != UInt8(ascii: "\"") {
                    var literal = next
                    if next == UInt8(ascii: "\\") {
                        guard let escaped = iterator.next() else { throw Malformed() }
                        literal = escaped
                    }
                    element.append(literal)
                    byte = iterator.next()
                }
                guard byte != nil else { throw Malformed() }
                byte = iterator.next()
                while let next = byte, isSpace(next) { byte = iterator.next() }
            } else {
                while let next = byte, next != UInt8(ascii: ","), next != UInt8(ascii: "}") {
                    guard next != UInt8(ascii: "{"), next != UInt8(ascii: "\"") else { throw Malformed() }
                    var literal = next
                    if next == UInt8(ascii: "\\") {
                        guard let escaped = iterator.next() else { throw Malformed() }
                        literal = escaped
                    }
                    element.append(literal)
                    byte = iterator.next()
                }
                while let last = element.last, isSpace(last) { element.removeLast() }
                guard !element.isEmpty else { throw Malformed() }
            }
            try body(element, isQuoted)
            if byte == UInt8(ascii: ",") {
                byte = iterator.next()
                continue
            }
            guard byte == UInt8(ascii: "}") else { throw Malformed() }
            break
        }
        guard iterator.next() == nil else { throw Malformed() }
    }
}
