/// Puts parsed values together into a reply.
///
/// Values come depth first, so a stack of open arrays is all it takes. A reply that is no array is made at once; an array becomes a
/// ``ParsedReply``.
struct ReplyBuilder {
    private struct OpenArray {
        /// Where in the table the next element goes, and where the last one is.
        var next: Int
        let end: Int
    }

    private var open: [OpenArray] = []
    private var values: [ParsedReply.Value] = []
    private var pieces: [[UInt8]] = []
    /// The piece that is being written.
    private var piece: [UInt8] = []
    /// How many bytes the strings of this reply have so far, and those of the last one had: the next is often as large.
    private var storedCount = 0
    private var lastStoredCount = 0
    /// How many values the last reply had, for the same reason.
    private var lastValueCount = 0
    private var finished: RedisReply?
    private var outermostCount = 0
    private var elementCount = 0
    private let maximumElements: Int
    /// How many bytes of what was read are left, those with the parser included: the most that a new piece is made for, but for a
    /// string that is larger.
    var bytesAtHand = 0
    /// Why building was stopped.
    private(set) var problem: String?

    private static let smallestPiece = 128
    /// The most values for which memory is taken because the last reply had as many.
    private static let mostExpectedValues = 1_024

    init(maximumElements: Int) {
        self.maximumElements = maximumElements
    }

    mutating func takeReply() -> RedisReply? {
        defer {
            finished = nil
            elementCount = 0
        }
        return finished
    }

    /// - Returns: Whether there is the room for so many elements.
    mutating func openArray(count: Int) -> Bool {
        elementCount += count
        guard elementCount <= maximumElements else {
            problem = "a reply of more than \(maximumElements) elements"
            return false
        }
        if open.isEmpty {
            // It needs no place in the table: its elements are the first there.
            outermostCount = count
            values.reserveCapacity(max(count, min(lastValueCount, Self.mostExpectedValues)))
        } else {
            put(.array(first: Int32(values.count), count: Int32(count)))
        }
        guard count > 0 else {
            closeArrays()
            return true
        }
        open.append(OpenArray(next: values.count, end: values.count + count))
        values.append(contentsOf: repeatElement(.null, count: count))
        return true
    }

    mutating func add(bulk text: UnsafeRawBufferPointer) {
        if open.isEmpty {
            finished = .bulk(Array(text))
        } else {
            add(.bulk(store(text)))
        }
    }

    mutating func add(simple text: UnsafeRawBufferPointer) {
        if open.isEmpty {
            finished = .simple(String(decoding: text, as: UTF8.self))
        } else {
            add(.simple(store(text)))
        }
    }

    mutating func add(error text: UnsafeRawBufferPointer) {
        if open.isEmpty {
            finished = .error(RedisServerError(line: String(decoding: text, as: UTF8.self)))
        } else {
            add(.error(store(text)))
        }
    }

    mutating func add(integer number: Int64) {
        if open.isEmpty {
            finished = .integer(number)
        } else {
            add(.integer(number))
        }
    }

    mutating func addNull() {
        if open.isEmpty {
            finished = .null
        } else {
            add(.null)
        }
    }

    private mutating func add(_ value: ParsedReply.Value) {
        put(value)
        closeArrays()
    }

    /// Writes the next element of the innermost array.
    private mutating func put(_ value: ParsedReply.Value) {
        values[open[open.count - 1].next] = value
        open[open.count - 1].next += 1
    }

    /// Closes the arrays that are complete.
    private mutating func closeArrays() {
        while let last = open.last, last.next == last.end { open.removeLast() }
        guard open.isEmpty else { return }
        let reply = ParsedReply(values: values, pieces: pieces, lastPiece: piece)
        finished = .array(RedisReplies(reply, 0..<outermostCount))
        lastValueCount = values.count
        values = []
        pieces = []
        piece = []
        lastStoredCount = storedCount
        storedCount = 0
    }

    private mutating func store(_ text: UnsafeRawBufferPointer) -> ParsedReply.Text {
        if piece.capacity - piece.count < text.count {
            if !piece.isEmpty { pieces.append(piece) }
            piece = []
            let expected = max(lastStoredCount - storedCount, storedCount, Self.smallestPiece)
            piece.reserveCapacity(max(text.count, min(expected, bytesAtHand)))
        }
        storedCount += text.count
        let start = piece.count
        piece.append(contentsOf: text)
        return ParsedReply.Text(piece: Int32(pieces.count), start: Int32(start), count: Int32(text.count))
    }
}
