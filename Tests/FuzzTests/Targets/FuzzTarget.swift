// Everything that parses bytes from outside, with what must hold whatever the bytes are. Two use these: the tests of this folder,
// which mutate the sound inputs by a seed, and the program that `deploy/fuzz` builds, which is led by coverage.

/// Something that parses bytes from outside.
struct FuzzTarget: Sendable, CustomStringConvertible {
    /// Its name on the command line.
    var name: String
    /// Sound inputs, to begin with.
    var sound: [[UInt8]]
    /// What the format is made of: a mutation puts these in.
    var words: [String] = []
    /// Makes the outer layers of an input right again, such as its checksum, so that the inner ones are reached as well.
    var repair: (@Sendable (inout [UInt8]) -> Void)?
    /// Parses an input, and throws ``Violation`` where something does not hold that must.
    ///
    /// It returns whether the input was read, as all sound ones are. A trap is a violation that needs no words.
    var parse: @Sendable ([UInt8]) throws -> Bool

    var description: String { name }
}

extension FuzzTarget {
    /// All of them.
    static let all: [FuzzTarget] = [
        keyspace, payloads, redis, postgres, journal, changes, audit, doctor, settings, site,
    ].flatMap { $0 }

    /// A target whose inputs are text.
    ///
    /// What is no UTF-8 is repaired, as by whoever reads it.
    init(
        name: String,
        sound: [String],
        words: [String] = [],
        parse: @escaping @Sendable (String) throws -> Bool
    ) {
        self.init(
            name: name,
            sound: sound.map { Array($0.utf8) },
            words: words,
            parse: { try parse(String(decoding: $0, as: UTF8.self)) }
        )
    }
}

/// Something that must hold does not.
struct Violation: Error, CustomStringConvertible {
    var description: String

    init(_ description: String) {
        self.description = description
    }
}

/// Throws where something does not hold that must.
func require(_ condition: Bool, _ message: @autoclosure () -> String) throws {
    if !condition { throw Violation(message()) }
}

/// Holds what a person is told against the rule: one line, and nothing on it that a terminal would obey.
func requireLine(_ text: String) throws {
    let isPlain = !text.unicodeScalars.contains {
        [.control, .format, .lineSeparator, .paragraphSeparator].contains($0.properties.generalCategory)
    }
    try require(isPlain && !text.isEmpty, "not one plain line: \(text.debugDescription)")
}
