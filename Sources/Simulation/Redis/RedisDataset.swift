/// What a Redis server holds.
package struct RedisDataset: Equatable {
    /// What one key holds.
    package enum Content: Equatable {
        case text([UInt8])
        /// The fields in the order in which they came: few, so that a search is quicker than a hash.
        case hash([Field])
    }

    package struct Field: Equatable {
        package var name: String
        package var value: [UInt8]
    }

    package struct Entry: Equatable {
        package var content: Content
        /// In microseconds by the server's clock; nil never.
        package var expires: Int64?
    }

    package var entries: [String: Entry] = [:]
    /// What the simulation knows of this dataset; it is copied, restored and lost with it.
    var knowledge = DatasetKnowledge()

    package init() {}

    package static func == (left: RedisDataset, right: RedisDataset) -> Bool { left.entries == right.entries }

    /// The value of a field; nil where there is none.
    package func field(_ key: String, _ name: String) -> [UInt8]? {
        guard case .hash(let fields)? = entries[key]?.content else { return nil }
        return fields.first { $0.name == name }?.value
    }
}
