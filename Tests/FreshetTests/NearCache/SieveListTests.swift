import Testing

@testable import Freshet

struct SieveListTests {
    /// A list as a reference, because expectations cannot change a value.
    private final class List {
        private var value = SieveList()

        func insert() -> Int { value.insert() }
        func visit(_ number: Int) { value.visit(number) }
        func remove(_ number: Int) { value.remove(number) }
        func evict() -> Int? { value.evict() }
    }

    @Test func `nothing is evicted from nothing`() {
        let list = List()
        #expect(list.evict() == nil)
    }

    @Test func `without visits the oldest goes first`() {
        let list = List()
        let numbers = (0..<4).map { _ in list.insert() }
        #expect((0..<4).map { _ in list.evict() } == numbers)
        #expect(list.evict() == nil)
    }

    @Test func `what was asked for is passed over once`() {
        let list = List()
        let (a, b, c) = (list.insert(), list.insert(), list.insert())
        list.visit(a)
        list.visit(c)
        #expect(list.evict() == b)
        // The hand has passed a and goes on with c, whose visit it forgives, before it comes round to a.
        #expect(list.evict() == a)
        #expect(list.evict() == c)
    }

    @Test func `the hand goes on where it stopped, past what came in behind it`() {
        let list = List()
        let names = ["A", "B", "C", "D", "E", "F", "G"]
        var numbers: [String: Int] = [:]
        for name in names { numbers[name] = list.insert() }
        for name in ["A", "B", "G"] { if let number = numbers[name] { list.visit(number) } }
        #expect(list.evict() == numbers["C"])
        let h = list.insert()
        #expect(list.evict() == numbers["D"])
        list.visit(h)
        #expect(list.evict() == numbers["E"])
        #expect(list.evict() == numbers["F"])
        // G and H were asked for; round the end, A and B have lost their bits to the first search.
        #expect(list.evict() == numbers["A"])
        #expect(list.evict() == numbers["B"])
        #expect(list.evict() == numbers["G"])
        #expect(list.evict() == h)
    }

    @Test func `numbers are used again, and what is taken out leaves the order whole`() {
        let list = List()
        let (a, b, c) = (list.insert(), list.insert(), list.insert())
        list.remove(b)
        let d = list.insert()
        #expect(d == b)
        #expect([list.evict(), list.evict(), list.evict(), list.evict()] == [a, c, d, nil])
    }

    @Test func `taking out what the hand is at moves the hand on`() {
        let list = List()
        let (a, b, c, d) = (list.insert(), list.insert(), list.insert(), list.insert())
        list.visit(a)
        #expect(list.evict() == b)
        list.remove(c)
        #expect(list.evict() == d)
        #expect(list.evict() == a)
    }

    @Test func `any sequence keeps the order whole`() {
        var generator = SystemRandomNumberGenerator()
        let list = List()
        var held: Set<Int> = []
        for _ in 0..<20_000 {
            switch Int.random(in: 0..<5, using: &generator) {
            case 0, 1: #expect(held.insert(list.insert()).inserted)
            case 2: if let number = held.randomElement() { list.visit(number) }
            case 3:
                guard let number = held.randomElement() else { continue }
                held.remove(number)
                list.remove(number)
            default:
                let number = list.evict()
                if let number { #expect(held.remove(number) != nil) } else { #expect(held.isEmpty) }
            }
        }
        while let number = list.evict() { #expect(held.remove(number) != nil) }
        #expect(held.isEmpty)
    }
}
