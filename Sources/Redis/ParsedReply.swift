// A reply of a hundred entries has five hundred strings, and an allocation for each of them, and for each array, took more than all
// the rest of reading it. So the strings of one reply lie one behind the other in a few pieces of memory, and its values, in
// a table: the elements of an array stand next to each other, so that each of them is found at once.
//
// A string that somebody keeps keeps its piece: as much as came in one read of the socket, 16 KiB at the most, or more where it is
// larger itself.

/// The values of one array reply, in the order in which they were parsed.
final class ParsedReply: Sendable {
    /// One value.
    enum Value: Sendable {
        case simple(Text)
        case bulk(Text)
        case integer(Int64)
        /// Its elements stand in the table from `first` on.
        case array(first: Int32, count: Int32)
        case null
        case error(Text)
    }

    /// Where a text lies.
    struct Text: Sendable {
        var piece: Int32
        var start: Int32
        var count: Int32
    }

    private let values: [Value]
    private let pieces: [[UInt8]]
    /// The piece behind those; beside them because most replies have no other, and then need no array of pieces.
    private let lastPiece: [UInt8]

    init(values: [Value], pieces: [[UInt8]], lastPiece: [UInt8]) {
        self.values = values
        self.pieces = pieces
        self.lastPiece = lastPiece
    }

    subscript(position: Int) -> RedisReply {
        switch values[position] {
        case .simple(let text): .simple(String(decoding: bytes(text), as: UTF8.self))
        case .bulk(let text): .bulk(bytes(text))
        case .integer(let number): .integer(number)
        case .array(let first, let count): .array(RedisReplies(self, Int(first)..<Int(first) + Int(count)))
        case .null: .null
        case .error(let text):
            .error(RedisServerError(line: String(decoding: bytes(text), as: UTF8.self)))
        }
    }

    private func bytes(_ text: Text) -> ArraySlice<UInt8> {
        // It lies nowhere: there may be no piece at all.
        guard text.count > 0 else { return [] }
        let range = Int(text.start)..<Int(text.start) + Int(text.count)
        return text.piece == pieces.count ? lastPiece[range] : pieces[Int(text.piece)][range]
    }
}
