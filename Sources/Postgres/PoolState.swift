/// Who gets which connection: the decisions of a pool, with no effect of their own.
///
/// A *place* is the right to have one connection: open, being opened or idle. There are at most as many places as the
/// pool allows connections. Callers wait only while every place is taken and nothing is idle, so whatever is given
/// while somebody waits goes to the first who waits.
struct PoolState<Connection> {
    /// What a caller gets.
    enum Grant {
        /// A connection that was idle or has just come back.
        case connection(Connection)
        /// The right to open one.
        case place
    }

    enum Answer {
        case granted(Grant)
        case mustWait
        case closed
    }

    enum Disposal {
        /// It is kept, or there is nothing to keep.
        case keep
        /// The pool is closed: the connection must be closed too.
        case discard
        case handOver(to: UInt64)
    }

    private let maximumConnections: Int
    private var placesTaken = 0
    /// The one used last comes first, so that what is not needed stays idle.
    private var idle: [Connection] = []
    private var waiters: [UInt64] = []
    private(set) var isClosed = false

    init(maximumConnections: Int) {
        precondition(maximumConnections > 0, "a pool of \(maximumConnections) connections serves nobody")
        self.maximumConnections = maximumConnections
    }

    /// Asks for a connection at once.
    mutating func ask() -> Answer {
        if isClosed { return .closed }
        if let connection = idle.popLast() { return .granted(.connection(connection)) }
        guard placesTaken < maximumConnections else { return .mustWait }
        placesTaken += 1
        return .granted(.place)
    }

    /// Asks for a connection, and queues where there is none.
    mutating func ask(orQueueAs waiter: UInt64) -> Answer {
        let answer = ask()
        if case .mustWait = answer { waiters.append(waiter) }
        return answer
    }

    /// Takes a waiter out of the queue.
    mutating func leave(_ waiter: UInt64) {
        waiters.removeAll { $0 == waiter }
    }

    /// Takes back what was granted: a connection, or the place of one that is no more.
    mutating func give(_ grant: Grant) -> Disposal {
        if isClosed {
            placesTaken -= 1
            guard case .connection = grant else { return .keep }
            return .discard
        }
        if !waiters.isEmpty { return .handOver(to: waiters.removeFirst()) }
        switch grant {
        case .connection(let connection): idle.append(connection)
        case .place: placesTaken -= 1
        }
        return .keep
    }

    /// Closes the pool and hands over what is idle.
    mutating func close() -> [Connection] {
        isClosed = true
        waiters.removeAll()
        placesTaken -= idle.count
        defer { idle.removeAll() }
        return idle
    }
}

extension PoolState.Grant: Sendable where Connection: Sendable {}

extension PoolState: Sendable where Connection: Sendable {}
