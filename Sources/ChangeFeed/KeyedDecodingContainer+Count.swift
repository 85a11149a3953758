extension KeyedDecodingContainer {
    /// A count, which is not below zero: then no difference of two counts can be too small for a number.
    func decodeCount<Count: FixedWidthInteger & Decodable>(forKey key: Key) throws -> Count {
        let count = try decode(Count.self, forKey: key)
        guard count >= 0 else {
            throw DecodingError.dataCorruptedError(forKey: key, in: self, debugDescription: "\(count) is no count")
        }
        return count
    }
}
