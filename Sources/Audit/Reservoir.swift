// Algorithm R of J. S. Vitter, "Random sampling with a reservoir", ACM Transactions on Mathematical Software 11 (1985).

/// A uniform sample of a stream whose length nobody knows.
///
/// Each element of the stream is in the sample with the same probability.
struct Reservoir<Element> {
    private(set) var elements: [Element] = []
    private(set) var seenCount = 0
    private let size: Int

    init(size: Int) {
        self.size = size
        elements.reserveCapacity(min(size, 10_000))
    }

    mutating func offer(_ element: Element, using randomness: inout some RandomNumberGenerator) {
        seenCount += 1
        if elements.count < size {
            elements.append(element)
        } else {
            let place = Int.random(in: 0..<seenCount, using: &randomness)
            if place < size { elements[place] = element }
        }
    }
}
