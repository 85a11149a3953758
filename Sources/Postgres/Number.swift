/// Numbers out of Postgres' text format.
enum Number {
    /// A decimal integer with an optional sign, and nothing around it.
    static func int64(_ bytes: some Collection<UInt8>) -> Int64? {
        var iterator = bytes.makeIterator()
        var byte = iterator.next()
        let isNegative = byte == UInt8(ascii: "-")
        if isNegative || byte == UInt8(ascii: "+") { byte = iterator.next() }
        guard byte != nil else { return nil }
        // Counts downwards, for the lowest value has no positive counterpart.
        var value: Int64 = 0
        while let next = byte {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(next) else { return nil }
            let (product, overflowed) = value.multipliedReportingOverflow(by: 10)
            let (difference, borrowed) = product.subtractingReportingOverflow(Int64(next - UInt8(ascii: "0")))
            guard !overflowed, !borrowed else { return nil }
            value = difference
            byte = iterator.next()
        }
        if isNegative { return value }
        guard value != .min else { return nil }
        return -value
    }
}
