// Which callers' keys go into which load.
//
// Callers wait in line until a load may begin. The first in an empty line opens a window in which others may join; when it is
// over, all who wait go into one load, as far as the number of loads at once and the number of keys in one allow. Who comes
// later waits for a load that begins later: a load never answers somebody who came after it began, because it may not have
// seen what that caller knows of.

struct LoadQueueStateMachine<Key: Hashable & Sendable>: Sendable {
    /// A load: its number, its callers, and all their keys, each once.
    struct Batch: Sendable {
        var id: Int
        var keys: [Key]
    }

    enum Action: Sendable {
        case wait
        /// Tell ``windowPassed()`` when the window is over.
        case openWindow
        case load(Batch)
    }

    enum Departure: Sendable {
        case nothing
        /// Nobody waits for this load any more.
        case cancel(batch: Int)
    }

    private let limits: LoadLimits
    private var line: [(caller: Int, keys: [Key])] = []
    private var callers: [Int: Set<Int>] = [:]
    private var batches: [Int: Int] = [:]
    private var isWindowOpen = false
    private var nextBatch = 0

    init(limits: LoadLimits) {
        self.limits = limits
    }

    /// How many loads are under way.
    var loadCount: Int { callers.count }

    /// Whether a load is under way.
    func isLoading(_ batch: Int) -> Bool { callers[batch] != nil }

    private var hasRoom: Bool { loadCount < max(1, limits.maximumConcurrentLoads) }

    mutating func arrive(_ caller: Int, keys: [Key]) -> Action {
        line.append((caller, keys))
        guard hasRoom, !isWindowOpen else { return .wait }
        guard limits.window > .zero else { return begin() }
        isWindowOpen = true
        return .openWindow
    }

    mutating func windowPassed() -> Action {
        isWindowOpen = false
        return begin()
    }

    /// A load has ended; its callers are the ones to answer.
    mutating func ended(_ batch: Int) -> (callers: Set<Int>, next: Action) {
        let answered = callers.removeValue(forKey: batch) ?? []
        for caller in answered { batches[caller] = nil }
        // Those in line have waited for longer than a window.
        return (answered, isWindowOpen ? .wait : begin())
    }

    /// A caller waits no longer.
    mutating func leave(_ caller: Int) -> Departure {
        if let batch = batches.removeValue(forKey: caller) {
            callers[batch]?.remove(caller)
            return callers[batch]?.isEmpty == true ? .cancel(batch: batch) : .nothing
        }
        line.removeAll { $0.caller == caller }
        return .nothing
    }

    /// What to do after a load has begun: the line may be longer than it took in.
    mutating func more() -> Action {
        isWindowOpen ? .wait : begin()
    }

    /// Whether everybody who waited for a load has left.
    func isAbandoned(_ batch: Int) -> Bool { callers[batch]?.isEmpty == true }

    private mutating func begin() -> Action {
        guard hasRoom, !line.isEmpty else { return .wait }
        var keys: Set<Key> = []
        var count = 0
        while count < line.count, count == 0 || keys.count + line[count].keys.count <= limits.maximumKeysPerLoad {
            keys.formUnion(line[count].keys)
            count += 1
        }
        let id = nextBatch
        nextBatch += 1
        let aboard = line.prefix(count).map { $0.caller }
        line.removeFirst(count)
        callers[id] = Set(aboard)
        for caller in aboard { batches[caller] = id }
        return .load(Batch(id: id, keys: Array(keys)))
    }
}
