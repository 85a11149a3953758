/// One file of `sql/` that changes the schema, once.
public struct Migration: Sendable, Equatable {
    /// The file's name without `.sql`; the order of names is the order of application.
    public let name: String
    /// The file's bytes, of which the ledger keeps a checksum.
    public let bytes: [UInt8]

    /// The file's text.
    public var text: String { String(decoding: bytes, as: UTF8.self) }

    init(name: String, bytes: [UInt8]) {
        self.name = name
        self.bytes = bytes
    }
}
