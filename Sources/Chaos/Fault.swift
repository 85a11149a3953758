/// Something that is done to the servers or the processes, and undone after a while.
enum Fault: Hashable, Sendable {
    /// The clients, in the order in which the stage starts them.
    enum Client: Int, Hashable, Sendable, CaseIterable {
        case worker1, worker2, readerShared, readerAlone, readerNear, writer

        static let workers: [Client] = [.worker1, .worker2]
        static let readers: [Client] = [.readerShared, .readerAlone, .readerNear]

        var name: String {
            switch self {
            case .worker1: "worker-1"
            case .worker2: "worker-2"
            case .readerShared: "reader-shared"
            case .readerAlone: "reader-alone"
            case .readerNear: "reader-near"
            case .writer: "writer"
            }
        }
    }

    enum Server: String, Hashable, Sendable, CaseIterable { case redis, postgres }

    enum Disruption: String, Hashable, Sendable, CaseIterable { case cut, held, silent }

    enum OldPrimary: String, Hashable, Sendable, CaseIterable { case killed, stopped, suspended }

    case redisKilled, redisRestored, redisSuspended, redisFlushed, redisEvicts, redisFull, redisDiskFull
    /// The replica takes over, having been cut off for a while.
    case redisPromoted
    /// The primary becomes a replica of its own old state, and a primary again, with all connections kept.
    case redisDemoted
    case redisClock(seconds: Int)

    case postgresKilled, postgresStopped, postgresSuspended, backendKilled, sessionsTerminated, standbyAway
    case standbyPromoted(old: OldPrimary)
    case postgresClock(seconds: Int)

    case killed(Client), suspended(Client), bothWorkersKilled

    /// The time of day of the client's host is set forward, and back again after a while.
    case clock(Client, seconds: Int)

    case connections(Client, Server, Disruption)

    /// What kind it is, for counting.
    var kind: String {
        switch self {
        case .redisKilled: "Redis killed, and empty afterwards"
        case .redisRestored: "Redis killed, and restored from an old snapshot"
        case .redisSuspended: "Redis suspended"
        case .redisFlushed: "FLUSHALL"
        case .redisEvicts: "Redis evicts"
        case .redisFull: "Redis full"
        case .redisDiskFull: "Redis cannot save"
        case .redisPromoted: "Redis replica promoted"
        case .redisDemoted: "Redis demoted in place"
        case .redisClock(let seconds): seconds < 0 ? "clock of Redis set back" : "clock of Redis set forward"
        case .postgresKilled: "Postgres killed"
        case .postgresStopped: "Postgres stopped at once"
        case .postgresSuspended: "Postgres suspended"
        case .backendKilled: "backend killed"
        case .sessionsTerminated: "sessions terminated"
        case .standbyAway: "standby away"
        case .standbyPromoted: "standby promoted"
        case .postgresClock(let seconds): seconds < 0 ? "clock of Postgres set back" : "clock of Postgres set forward"
        case .killed(let client): "\(Self.role(client)) killed"
        case .suspended(let client): "\(Self.role(client)) suspended"
        case .bothWorkersKilled: "both workers killed"
        case .clock(let client, _): "clock of \(Self.role(client)) set forward, and back"
        case .connections(_, _, .cut): "connections cut"
        case .connections(_, _, .held): "connections held"
        case .connections(_, _, .silent): "connections half-open"
        }
    }

    private static func role(_ client: Client) -> String {
        Client.workers.contains(client) ? "worker" : client == .writer ? "writer" : "reader"
    }
}

extension Fault: CustomStringConvertible {
    var description: String {
        switch self {
        case .redisClock(let seconds), .postgresClock(let seconds): "\(kind) by \(abs(seconds)) s"
        case .standbyPromoted(let old): "\(kind), old primary \(old.rawValue)"
        case .killed(let client), .suspended(let client): "\(kind): \(client.name)"
        case .clock(let client, let seconds): "\(kind) by \(seconds) s: \(client.name)"
        case .connections(let client, let server, _): "\(kind): \(client.name) to \(server.rawValue)"
        default: kind
        }
    }
}
