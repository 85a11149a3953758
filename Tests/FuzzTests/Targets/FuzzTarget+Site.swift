import Keyspace
import Logging
import NIOCore
import NIOEmbedded
import NIOHTTP1
import Postgres
import Prometheus

@testable import Operations

extension FuzzTarget {
    /// What is asked of the HTTP endpoint.
    static let site: [FuzzTarget] = [http]

    /// Requests, one after another, as SwiftNIO's parser lets them through: what they ask for, and of whom.
    private static let http = FuzzTarget(
        name: "http",
        sound: [
            "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:9464\r\n\r\n",
            "HEAD /?a=b HTTP/1.1\r\nHost: [::1]\r\n\r\nGET /metrics HTTP/1.1\r\nHost: LOCALHOST:9464\r\n\r\n",
            "GET /status.json?x HTTP/1.0\r\nHost: 10.0.0.7:80\r\nContent-Length: 3\r\n\r\nabc",
        ].map { Array($0.utf8) },
        words: [
            "\r\n", "\r\n\r\n", "GET ", "HEAD ", "POST ", " HTTP/1.1", "/", "//", "/metrics", "/healthz", "/readyz",
            "/status.json", "?", "#", "%2F", "\r\nHost: ", "Host:", "127.0.0.1", "0177.0.0.1", "localhost", ".",
            "[::1]", "::1", "::ffff:127.0.0.1", "evil.example", ".evil.example", "@", ":", ":0", ":+1", ":65536",
            "\r\nTransfer-Encoding: chunked", "\u{0}", "\u{301}", "\u{212A}",
        ],
        parse: { bytes in
            var hasFound = false
            for head in requestHeads(in: bytes) {
                // As the server puts it to the site.
                let hosts = head.headers["host"]
                var question = HTTPQuestion(
                    method: head.method.rawValue,
                    target: head.uri,
                    host: hosts.count == 1 ? hosts[0] : nil,
                    isLoopback: true
                )
                // There are no servers to ask. Put like this, a question for what they are asked for is refused, and not as one for
                // what is not there.
                if ["/metrics", "/readyz", "/status.json"].contains(String(question.target.prefix { $0 != "?" })) {
                    question.method = "DELETE"
                }
                let status = try checkedStatus(of: question)
                try require(status == 421 || isNobodyElse(question.host), "answered to \(question)")
                question.isLoopback = false
                let statusForAll = try checkedStatus(of: question)
                try require(statusForAll != 421, "sent away, though all may ask: \(question)")
                hasFound = hasFound || status == 200 || status == 405
            }
            return hasFound
        }
    )

    /// The heads of the requests in some bytes, up to what is none.
    private static func requestHeads(in bytes: [UInt8]) -> [HTTPRequestHead] {
        let channel = EmbeddedChannel()
        var heads: [HTTPRequestHead] = []
        do {
            try channel.pipeline.syncOperations.addHandler(ByteToMessageHandler(HTTPRequestDecoder()))
            try channel.writeInbound(ByteBuffer(bytes: bytes))
        } catch {
            // What stands before it has arrived all the same.
        }
        while let part = try? channel.readInbound(as: HTTPServerRequestPart.self) {
            if case .head(let head) = part { heads.append(head) }
        }
        _ = try? channel.finish(acceptAlreadyClosed: true)
        return heads
    }

    private static let endpoint: Site = {
        // It stands still, so that a worker that never does anything is not taken for one that hangs.
        let now = ContinuousClock.now
        return Site(
            state: WorkerState(lease: .seconds(5), clock: { now }),
            probe: ServersProbe(
                postgres: PostgresConfiguration(),
                redis: AnsweringRedis([]),
                namespace: .workflows,
                logger: Logger(label: "fuzz") { _ in SwiftLogNoOpLogHandler() },
                redact: { $0 }
            ),
            registry: PrometheusRegistry(),
            version: "1.0",
            showsPage: true
        )
    }()

    /// The status of what is answered, which is held against what every answer is.
    private static func checkedStatus(of question: HTTPQuestion) throws -> Int {
        let answer = try runHere { await endpoint.answer(question) }
        try require([200, 404, 405, 421].contains(answer.status), "\(answer.status) to \(question)")
        for (name, value) in answer.headers { try requireLine("\(name): \(value)") }
        if answer.status != 200 {
            try requireLine(String(answer.body.dropLast()))
            try require(answer.body.utf8.count < 200, "an endless answer to \(question)")
        }
        if let address = question.host.flatMap({ HTTPAddress($0) }) {
            try require(HTTPAddress(address.description) == address, "\(address) is another address")
        }
        return answer.status
    }

    /// Whether a host, as a request names it, can be no name that somebody else has made to resolve to this machine.
    ///
    /// It is localhost, or has digits and what parts them alone.
    private static func isNobodyElse(_ host: String?) -> Bool {
        guard let host = host?.lowercased().filter({ !"[]".contains($0) }) else { return false }
        if host == "localhost" || host.hasPrefix("localhost:") { return true }
        return host.utf8.allSatisfy { "0123456789abcdef.:-".utf8.contains($0) } && host.contains { ".:".contains($0) }
    }
}
