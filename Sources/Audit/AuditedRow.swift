/// One row of a cached value, as it is compared and shown.
package struct AuditedRow: Sendable {
    /// The row's id: a value is a set of rows, and their order does not matter.
    package var id: Int64
    /// All columns that readers get, under their names in the table, without the id.
    package var columns: [Column]

    /// A column and what it holds.
    package struct Column: Hashable, Sendable {
        /// The name in the table.
        package var name: String
        /// What it holds.
        package var content: Content

        init(_ name: String, _ content: Content) {
            self.name = name
            self.content = content
        }
    }

    /// What a column holds.
    package enum Content: Hashable, Sendable {
        case null
        case bool(Bool)
        case integer(Int64)
        /// Compared byte for byte: Swift calls texts equal that the database tells apart.
        case text([UInt8])
        /// A moment in microseconds since 1970.
        case moment(Int64)

        static func integer(_ value: Int64?) -> Content { value.map { .integer($0) } ?? .null }
        static func text(_ value: String?) -> Content { value.map { .text(Array($0.utf8)) } ?? .null }
    }
}

extension AuditedRow: Hashable {}

/// Two values of one key, held against each other.
package struct ValueDifference: Hashable, Sendable {
    /// Rows that the entry has and the database has not.
    package var onlyCached: [Int64] = []
    /// Rows that the database has and the entry has not.
    package var onlyInDatabase: [Int64] = []
    /// Rows that differ, each with the names of the columns that do.
    package var changed: [Changed] = []

    /// A row that differs.
    package struct Changed: Hashable, Sendable {
        /// The row's id.
        package var id: Int64
        /// The columns that differ, by name.
        package var columns: [String]
    }

    /// Whether the values are the same.
    package var isEmpty: Bool { onlyCached.isEmpty && onlyInDatabase.isEmpty && changed.isEmpty }

    /// What differs between a cached value and the database's.
    package init(cached: [AuditedRow], database: [AuditedRow]) {
        // In order of id; the same id twice is a difference of its own, which the counts bring out.
        let left = Dictionary(grouping: cached, by: \.id)
        let right = Dictionary(grouping: database, by: \.id)
        for (id, rows) in left.sorted(by: { $0.key < $1.key }) {
            let others = right[id] ?? []
            onlyCached += Array(repeating: id, count: max(0, rows.count - others.count))
            for (row, other) in zip(rows, others) where row != other {
                let theirs = Dictionary(other.columns.map { ($0.name, $0.content) }) { first, _ in first }
                let names = row.columns.filter { theirs[$0.name] != $0.content }.map(\.name)
                changed.append(Changed(id: id, columns: names))
            }
        }
        for (id, rows) in right.sorted(by: { $0.key < $1.key }) {
            onlyInDatabase += Array(repeating: id, count: max(0, rows.count - (left[id]?.count ?? 0)))
        }
    }
}
