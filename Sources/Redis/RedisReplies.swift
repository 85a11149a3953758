/// The elements of an array reply.
///
/// Those that came over a connection are made when they are asked for, out of one piece of memory for the whole reply.
public struct RedisReplies: Sendable {
    private enum Contents: Sendable {
        case list([RedisReply])
        case parsed(ParsedReply, elements: Range<Int>)
    }

    private let contents: Contents

    /// Some replies that are at hand.
    public init(_ replies: [RedisReply]) {
        contents = .list(replies)
    }

    init(_ reply: ParsedReply, _ elements: Range<Int>) {
        contents = .parsed(reply, elements: elements)
    }
}

extension RedisReplies: RandomAccessCollection {
    /// The first position: 0.
    public var startIndex: Int { 0 }

    /// The number of elements.
    public var endIndex: Int {
        switch contents {
        case .list(let replies): replies.count
        case .parsed(_, let elements): elements.count
        }
    }

    /// The element in a place.
    public subscript(position: Int) -> RedisReply {
        switch contents {
        case .list(let replies): return replies[position]
        case .parsed(let reply, let elements):
            precondition(position >= 0 && position < elements.count, "an array reply has no element \(position)")
            return reply[elements.lowerBound + position]
        }
    }
}

extension RedisReplies: Hashable, ExpressibleByArrayLiteral, CustomStringConvertible {
    /// Some replies that are at hand.
    public init(arrayLiteral elements: RedisReply...) {
        self.init(elements)
    }

    /// Whether all elements are equal.
    public static func == (left: RedisReplies, right: RedisReplies) -> Bool {
        left.elementsEqual(right)
    }

    /// Hashes all elements.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(count)
        for element in self { hasher.combine(element) }
    }

    /// The elements, as an array has them.
    public var description: String { Array(self).description }
}
