/// What a call throws whose session with Postgres is lost, or could not be opened.
struct SessionLost: Error {}

/// A session with a Postgres server: the client's end, and the server's.
///
/// The two ends learn of each other's loss at different times: what is on its way when the network is cut never arrives, the
/// client gives up some time later, and the server keeps transaction and locks until it notices, too.
///
/// `@unchecked Sendable` because it is used on the one thread that runs the simulation.
final class PostgresSession: @unchecked Sendable {
    let world: World
    let server: PostgresServer
    let process: SimulatedProcess
    /// Whether the server still has it.
    private(set) var isOpen = true
    /// Whether the client has given it up.
    private(set) var isLost = false
    /// Nothing that is sent arrives any more, in either direction.
    private(set) var isCut = false
    var transaction: PostgresModel.Transaction?
    /// What the rows of its claim show; nil where there were none.
    var claimedMoment: Int?
    var isListening = false
    /// Whether its worker has begun to work.
    var serves = false
    /// Whether its commits are acknowledged before they are on disk: SET synchronous_commit = off.
    var commitsAsynchronously = false
    private var notifications: [String] = []
    private var notificationWaiter: Waiter<Bool>?
    private var giveUp: (() -> Void)?

    init(_ world: World, _ server: PostgresServer, _ process: SimulatedProcess) {
        self.world = world
        self.server = server
        self.process = process
    }

    var model: PostgresModel { server.model }

    // MARK: Calls

    /// Has the server do something, and waits for what it answers; one call at a time.
    func call<Answer: Sendable>(
        _ work: @escaping (PostgresSession, @escaping (Answer) -> Void) -> Void
    ) async throws -> Answer {
        let answer: Answer? = await process.wait(cancelled: nil) { waiter in
            guard !isLost else { return waiter.resume(nil) }
            giveUp = { waiter.resume(nil) }
            world.scheduler.after(world.latency()) { [self] in
                guard isOpen, !isCut, server.isUp, !process.isDead else { return }
                work(self) { [self] answer in
                    world.scheduler.after(world.latency()) { [self] in
                        guard !isCut, server.isUp else { return }
                        process.perform { waiter.resume(answer) }
                    }
                }
            }
        }
        giveUp = nil
        guard let answer else { throw SessionLost() }
        return answer
    }

    // MARK: Notifications

    func notify(_ payloads: [String]) {
        guard isOpen, !isCut, !isLost, server.isUp else { return }
        process.perform { [self] in
            notifications += payloads
            notificationWaiter?.resume(true)
        }
    }

    /// Waits for a notification until a moment; the payloads of all that have come are answered together.
    func waitForNotifications(until end: Int64) async throws -> [String] {
        if isLost || process.isDead { throw SessionLost() }
        if notifications.isEmpty {
            let isKept = await process.wait(cancelled: false) { waiter in
                notificationWaiter = waiter
                giveUp = { waiter.resume(false) }
                world.scheduler.at(end) { waiter.resume(true) }
            }
            notificationWaiter = nil
            giveUp = nil
            if !isKept { throw SessionLost() }
        }
        defer { notifications = [] }
        return notifications
    }

    // MARK: Ends

    /// The server ends the session.
    func end() {
        guard isOpen else { return }
        isOpen = false
        isListening = false
        serves = false
        if let transaction, server.isUp { model.abort(transaction) }
        transaction = nil
        if model.leader === self { model.leader = nil }
    }

    /// The client learns that the session is over.
    func lose() {
        guard !isLost else { return }
        isLost = true
        let giveUp = giveUp
        self.giveUp = nil
        process.perform { giveUp?() }
    }

    /// The network between the two is cut: each notices at a time of its own.
    func cut(clientNotices: Int64, serverNotices: Int64) {
        guard !isCut else { return }
        isCut = true
        world.scheduler.after(clientNotices) { [self] in lose() }
        world.scheduler.after(serverNotices) { [self] in end() }
    }

    /// The server ends it and says so.
    func terminate() {
        end()
        world.scheduler.after(world.latency()) { [self] in lose() }
    }

    /// The client closes it.
    func close() {
        isLost = true
        world.scheduler.after(world.latency()) { [self] in
            if !isCut { end() }
        }
    }
}

/// A Postgres server and who is connected to it.
///
/// `@unchecked Sendable` because it is used on the one thread that runs the simulation.
final class PostgresServer: @unchecked Sendable {
    let model: PostgresModel
    var isUp = true
    /// Another was promoted in its place.
    var isLeftBehind = false
    var sessions: [PostgresSession] = []
    /// How many of the last commits no standby has yet.
    var unreplicated = 0
    /// How many of the last commits are not on disk yet.
    var unflushed = 0
    /// What a cursor over ids has passed, and what was claimed last: of use to a flaw only.
    var cursor = 0
    var claimedID = 0

    init(_ model: PostgresModel) {
        self.model = model
    }

    /// It is gone, and all sessions with it.
    func stop(_ world: World) {
        isUp = false
        for session in sessions {
            session.end()
            world.scheduler.after(world.latency()) { session.lose() }
        }
        sessions = []
    }
}
