import LocalServices
import Logging
import Redis

/// A Redis of the run's own, by both ways to it.
struct BenchmarkServer {
    let unix: Transport
    let tcp: Transport
}

extension BenchmarkServer {
    init(_ redis: LocalRedis) throws {
        guard let port = redis.port else { throw NotWarm(description: "the private Redis has no TCP port") }
        unix = .unix(path: redis.socketPath)
        tcp = .tcp(port: port)
    }
}

extension Transport {
    var configuration: RedisConfiguration {
        switch self {
        case .unix(let path): RedisConfiguration(endpoint: .unix(path: path))
        case .tcp(let port): RedisConfiguration(endpoint: .tcp(host: "127.0.0.1", port: port))
        }
    }
}

extension Logger {
    /// Says nothing: what goes wrong is thrown.
    static var silent: Logger { Logger(label: "benchmarks") { _ in SwiftLogNoOpLogHandler() } }
}
