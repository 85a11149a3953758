// SIEVE, by Y. Zhang, J. Yang, Y. Yue, Y. Vigfusson and K. V. Rashmi, "SIEVE is Simpler than LRU: an Efficient Turn-Key
// Eviction Algorithm for Web Caches", NSDI 2024. One queue in the order of insertion, one bit an element, and a hand that goes
// from the oldest towards the newest: it clears the bits that it finds set, and evicts the first element without one.
//
// What recommends it here: a hit sets a bit and moves nothing, so the memory that all readers share is hardly written to; and
// what is asked for once, as in a scan, leaves before what is asked for again.

/// The order in which elements are evicted; they are named by small numbers that are used again.
struct SieveList {
    private struct Element {
        /// The next one towards the oldest; none is -1.
        var older: Int
        /// The next one towards the newest; none is -1.
        var newer: Int
        var wasVisited = false
    }

    private var elements: [Element] = []
    private var free: [Int] = []
    private var oldest = -1
    private var newest = -1
    /// Where the next search begins; -1 is at the oldest.
    private var hand = -1

    /// Adds an element, the newest, and returns its number.
    mutating func insert() -> Int {
        let element = Element(older: newest, newer: -1)
        let number: Int
        if let reused = free.popLast() {
            number = reused
            elements[number] = element
        } else {
            number = elements.count
            elements.append(element)
        }
        if newest >= 0 { elements[newest].newer = number } else { oldest = number }
        newest = number
        return number
    }

    /// An element was asked for.
    @inline(__always)
    mutating func visit(_ number: Int) {
        if !elements[number].wasVisited { elements[number].wasVisited = true }
    }

    /// Takes an element out.
    mutating func remove(_ number: Int) {
        let (older, newer) = (elements[number].older, elements[number].newer)
        if hand == number { hand = newer }
        if older >= 0 { elements[older].newer = newer } else { oldest = newer }
        if newer >= 0 { elements[newer].older = older } else { newest = older }
        free.append(number)
    }

    /// Takes out the element that is worth least, and returns its number; nil if there is none.
    mutating func evict() -> Int? {
        var number = hand >= 0 ? hand : oldest
        guard number >= 0 else { return nil }
        while elements[number].wasVisited {
            elements[number].wasVisited = false
            number = elements[number].newer >= 0 ? elements[number].newer : oldest
        }
        hand = number
        remove(number)
        return number
    }

    /// Takes out all.
    mutating func removeAll() {
        self = SieveList()
    }
}
