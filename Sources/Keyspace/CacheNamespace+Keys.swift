/// What one key of a namespace is about.
public enum KeySubject: Hashable, Sendable {
    /// The bumps of the namespace.
    case namespaceBump
    /// The generations and entries of one entity.
    case entity(Entity)
}

extension CacheNamespace {
    /// What a key is about that may change while a reader keeps what it read; nil for a head, and for the key of another
    /// namespace.
    public func subject(ofKey key: some Collection<UInt8>) -> KeySubject? {
        let beginning = "\(prefix):\(name):{".utf8
        guard key.starts(with: beginning) else { return nil }
        let rest = key.dropFirst(beginning.count)
        guard let brace = rest.firstIndex(of: UInt8(ascii: "}")),
            let bucket = Int(String(decoding: rest[..<brace], as: UTF8.self)), buckets.contains(bucket),
            // Not `+1` or `01`: those are other keys, and nobody's.
            rest[..<brace].elementsEqual(String(bucket).utf8)
        else { return nil }
        let ending = rest[rest.index(after: brace)...]
        if ending.elementsEqual(".gen".utf8) { return .namespaceBump }
        guard ending.first == UInt8(ascii: ":") else { return nil }
        return .entity(Entity(partOfKey: String(decoding: ending.dropFirst(), as: UTF8.self)))
    }
}
