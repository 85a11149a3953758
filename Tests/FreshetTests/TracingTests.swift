import Freshet
import InMemoryTracing
import Keyspace
import Logging
import Redis
import Testing
import Tracing

/// The spans of the library, by the names that OpenTelemetry gives them.
struct TracingTests {
    /// For the whole process, as tracing is.
    private static let tracer: InMemoryTracer = {
        let tracer = InMemoryTracer()
        InstrumentationSystem.bootstrap(tracer)
        return tracer
    }()

    private struct Broken: Error {}

    private func spans(_ body: () async throws -> Void) async rethrows -> [FinishedInMemorySpan] {
        let mark = "test \(UInt64.random(in: .min ... .max))"
        let tracer = Self.tracer
        try await tracer.withAnySpan(mark, context: .topLevel, ofKind: .internal) { _ in try await body() }
        let all = tracer.finishedSpans
        let trace = all.first { $0.operationName == mark }?.traceID
        return all.filter { $0.traceID == trace && $0.operationName != mark }
    }

    private func lookup(_ redis: ScriptedRedis, isBroken: Bool = false) throws -> WorkflowLookup {
        var options = CacheOptions()
        options.registry = CacheRegistry()
        return try WorkflowLookup(
            redis: redis,
            options: options,
            loader: { keys in
                if isBroken { throw Broken() }
                return LoadedValues(
                    values: Dictionary(keys.map { ($0, []) }) { first, _ in first },
                    postgres: "1/1/a",
                    rowCount: 7
                )
            },
            logger: Logger(label: "test")
        )
    }

    @Test func `a lookup is a span, and the load in it another`() async throws {
        let redis = ScriptedRedis([])
        let lookup = try lookup(redis)
        let spans = try await spans { _ = try await lookup.workflows(ofDetectors: [1, 2]) }
        let asked = try #require(spans.first { $0.operationName == "lookup freshet:workflows" })
        #expect(asked.kind == .client)
        #expect(asked.attributes.get("db.system.name") == .string("redis"))
        #expect(asked.attributes.get("db.operation.name") == .string("lookup"))
        #expect(asked.attributes.get("db.namespace") == .string("freshet:workflows"))
        #expect(asked.attributes.get("db.operation.batch.size") == .int64(2))
        let load = try #require(spans.first { $0.operationName == "load freshet:workflows" })
        #expect(load.parentSpanID == asked.spanID)
        #expect(load.attributes.get("db.response.returned_rows") == .int64(7))
        #expect(load.errors.isEmpty && asked.errors.isEmpty)
    }

    @Test func `a span of something that threw has the error`() async throws {
        let lookup = try lookup(ScriptedRedis([]), isBroken: true)
        let spans = await spans {
            await #expect(throws: Broken.self) { try await lookup.workflows(ofDetectors: [1]) }
        }
        #expect(spans.count == 2)
        #expect(spans.allSatisfy { $0.errors.first?.error is Broken })
    }
}
