import CoreMetrics
import Foundation
import Keyspace
import Logging
import Postgres
import Prometheus
import Redis
import Subprocess
import Testing

@testable import InvalidationWorker
@testable import Operations

/// What is answered, without servers: nobody listens where they should be.
@Suite struct SiteTests {
    private static let secret = "verysecret"
    private static let attack = "<script>document.title='taken'</script>\"><img src=x onerror=document.title='taken'>"
    private let state = WorkerState(lease: .seconds(5), redact: { $0.replacing(secret, with: "***") })
    private let registry = PrometheusRegistry(MetricCatalogue.counted)

    private func site(showsPage: Bool = true) -> Site {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        return Site(
            state: state,
            probe: ServersProbe(
                postgres: PostgresConfiguration(
                    connectionString: "host=127.0.0.1 port=1 user=app password=\(Self.secret)"
                ),
                redis: RedisNode(RedisConfiguration(endpoint: .tcp(host: "127.0.0.1", port: 1)), logger: logger),
                namespace: .workflows,
                logger: logger,
                redact: { $0 }
            ),
            registry: registry,
            version: "1.2.3",
            showsPage: showsPage
        )
    }

    private func ask(
        _ target: String,
        of site: Site? = nil,
        method: String = "GET",
        host: String? = "127.0.0.1:9464",
        isLoopback: Bool = true
    ) async -> HTTPAnswer {
        let site = site ?? self.site()
        let answer = await site.answer(HTTPQuestion(method: method, target: target, host: host, isLoopback: isLoopback))
        await site.close()
        return answer
    }

    // MARK: Paths and methods

    @Test func `there is a page, its data, metrics and two answers about health, and nothing else`() async {
        for path in ["/", "/status.json", "/metrics", "/healthz", "/?a=b"] { #expect(await ask(path).status == 200) }
        for path in ["/metrics/", "//", "/status.html", "/../etc/passwd", "", "*", "http://other/metrics"] {
            #expect(await ask(path).status == 404, "\(path)")
        }
    }

    @Test func `what would change something is refused`() async {
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
            let answer = await ask("/", method: method)
            #expect(answer.status == 405)
            #expect(answer.headers["Allow"] == "GET, HEAD")
        }
    }

    @Test func `without the page there are no data of it either`() async {
        let site = site(showsPage: false)
        #expect(await ask("/", of: site).status == 404)
        #expect(await ask("/status.json", of: site).status == 404)
        #expect(await ask("/healthz", of: site).status == 200)
    }

    @Test func `on loopback, a name that may be somebody else's is not answered to`() async {
        for host in ["evil.example", "evil.example:9464", "127.0.0.1.evil.example", "", "localhost.evil.example"] {
            #expect(await ask("/metrics", host: host).status == 421, "\(host)")
        }
        #expect(await ask("/metrics", host: nil).status == 421)
        for host in ["127.0.0.1", "localhost:9464", "LOCALHOST", "[::1]:9464", "[::1]", "10.0.0.7:80"] {
            #expect(await ask("/healthz", host: host).status == 200, "\(host)")
        }
        #expect(await ask("/healthz", host: "freshet.example", isLoopback: false).status == 200)
    }

    @Test func `without Redis nobody is told to rely on a cache, also where no worker has told of one yet`() async {
        let metrics = await ask("/metrics").body
        #expect(metrics.contains("freshet_server_up{server=\"redis\"} 0\n"))
        #expect(metrics.contains("freshet_healthy{cache=\"workflows\"} 0\n"))
    }

    // MARK: Health

    @Test func `readiness names each server that does not answer`() async {
        let answer = await ask("/readyz")
        #expect(answer.status == 503)
        #expect(answer.body.hasPrefix("not ready\npostgres: "))
        #expect(answer.body.contains("\nredis: "))
        #expect(answer.body.contains("\nworker: has no session with Postgres yet\n"))
    }

    @Test func `a leader whose promise has run out is not ready, one that vouches is`() {
        let clock = SteppedClock()
        let state = WorkerState(lease: .seconds(5), clock: clock.read)
        let well = ServersProbe.Look(
            at: .now,
            postgres: .success(.init(rowCount: 0, leader: nil, standbys: [])),
            redis: .success([]),
            caches: ["workflows"]
        )
        state.note(.leading)
        #expect(!Readiness(state.snapshot, well).isReady)
        state.note(.committed(.init(vouched: ["workflows"], distrust: [:], rowCount: 0, duration: .zero)))
        #expect(
            Readiness(state.snapshot, well).text
                == "ready\npostgres: ok\nredis: ok\nworker: leads\nworkflows: vouched for\n"
        )
        clock.advance(by: .seconds(6))
        #expect(Readiness(state.snapshot, well).text.contains("workflows: the last promise has run out\n"))
        state.note(.standingBy(leader: 3))
        #expect(Readiness(state.snapshot, well).isReady)
    }

    @Test func `a loop that stands still is not healthy, one that waits for a claim is`() async {
        let clock = SteppedClock()
        let state = WorkerState(lease: .seconds(5), clock: clock.read)
        let registry = registry
        func health() async -> HTTPAnswer {
            let site = Site(
                state: state,
                probe: ServersProbe(
                    postgres: PostgresConfiguration(),
                    redis: RedisNode(
                        RedisConfiguration(endpoint: .tcp(host: "127.0.0.1", port: 1)),
                        logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
                    ),
                    namespace: .workflows,
                    logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
                    redact: { $0 }
                ),
                registry: registry,
                version: "1",
                showsPage: true
            )
            return await site.answer(HTTPQuestion(method: "GET", target: "/healthz", host: nil, isLoopback: false))
        }
        state.turn(.claiming)
        state.claimWait.begin()
        clock.advance(by: .seconds(600))
        #expect(await health().status == 200)
        state.claimWait.end()
        for step in [PumpStep.applying, .waiting] {
            state.turn(step)
            clock.advance(by: .seconds(45))
            #expect(await health().status == 200)
            clock.advance(by: .seconds(1))
            #expect(await health().status == 503)
        }
    }

    // MARK: Secrets and strangers' texts

    @Test func `no answer holds a password`() async {
        state.note(.failing(server: .postgres, error: "bad password=\(Self.secret)"))
        for path in ["/", "/status.json", "/metrics", "/healthz", "/readyz"] {
            let answer = await ask(path)
            #expect(!answer.body.contains(Self.secret), "\(path)")
        }
        #expect(await ask("/status.json").body.contains("bad password=***"))
    }

    @Test func `the page runs its own script only, differently marked each time, and loads nothing`() async throws {
        let site = site()
        let (one, other) = (await ask("/", of: site), await ask("/", of: site))
        let policy = try #require(one.headers["Content-Security-Policy"])
        #expect(policy.hasPrefix("default-src 'none'; script-src 'nonce-"))
        #expect(!policy.contains("unsafe"))
        #expect(policy != other.headers["Content-Security-Policy"])
        let nonce = try #require(policy.firstMatch(of: /'nonce-([0-9a-f]+)'/)).1
        #expect(one.body.contains("<script nonce=\"\(nonce)\">"))
        #expect(!one.body.contains("{{"))
        #expect(!one.body.contains("innerHTML"))
        #expect(one.body.matches(of: /(?:src|href)="(?!data:|\/[a-z])/).isEmpty)
        #expect(one.body.matches(of: /<script/).count == 1)
    }

    @Test func `the status says what was applied, and for whom`() async throws {
        state.note(.leading)
        state.note(.applied(.made(subjects: ["link"], application: Self.attack)))
        struct Status: Decodable {
            struct Count: Decodable { var name: String }
            var role: String
            var applications: [Count]
        }
        let status = try JSONDecoder().decode(Status.self, from: Data(await ask("/status.json").body.utf8))
        #expect(status.role == "leading")
        #expect(status.applications.map(\.name) == [String(Self.attack.prefix(100))])
    }

    // MARK: Real programs

    private static func exists(_ path: String) -> Bool { FileManager.default.isExecutableFile(atPath: path) }

    @Test(.enabled(if: exists("/usr/bin/promtool")))
    func `promtool takes the metrics as they are`() async throws {
        for metric in MetricCatalogue.counted {
            let dimensions = metric.labels.map { ($0, "a \"b\" \\ \n") }
            switch metric.kind {
            case .counter: registry.makeCounter(label: metric.name, dimensions: dimensions).increment(by: 2)
            case .gauge: registry.makeMeter(label: metric.name, dimensions: dimensions).set(0.5)
            case .histogram: registry.makeTimer(label: metric.name, dimensions: dimensions).recordNanoseconds(5)
            }
        }
        let result = try await Subprocess.run(
            .name("promtool"),
            arguments: ["check", "metrics"],
            input: .string(await ask("/metrics").body),
            output: .string(limit: 65_536),
            error: .string(limit: 65_536)
        )
        #expect(result.terminationStatus == .exited(0), "\(result.standardOutput) \(result.standardError)")
        #expect(result.standardOutput == "" && result.standardError == "")
    }

    @Test(.enabled(if: exists("/usr/bin/chromium")))
    func `a browser shows the page, and takes no stranger's text for markup`() async throws {
        state.note(.leading)
        for subject in ["detector", "link"] {
            state.note(.applied(.made(subjects: [subject], application: Self.attack)))
        }
        state.note(.failing(server: .redis, error: Self.attack))
        let site = site()
        let server = try await site.serve(at: HTTPAddress(host: "127.0.0.1", port: 0))
        let profile = FileManager.default.temporaryDirectory.appending(path: "freshet-browser-\(UUID())")
        defer { try? FileManager.default.removeItem(at: profile) }
        let result = try await Subprocess.run(
            .name("chromium"),
            arguments: [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage",
                "--user-data-dir=\(profile.path())", "--virtual-time-budget=5000", "--dump-dom",
                "http://\(server.address)/",
            ],
            output: .string(limit: 1 << 20),
            error: .discarded
        )
        await server.close()
        await site.close()
        let page = result.standardOutput
        #expect(page.contains("data-shown=\"yes\""))
        #expect(page.contains("<title>! Leading · Freshet</title>"))
        #expect(page.contains("&lt;script&gt;document.title="))
        #expect(!page.contains("<img"))
        #expect(page.contains("<rect"))
    }
}
