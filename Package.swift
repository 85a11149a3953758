// swift-tools-version: 6.2

import PackageDescription

/// One set of settings for every target: Swift 6 mode, explicit existentials and imports, no warning left standing.
let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .treatAllWarnings(as: .error),
]

/// The same for what readers call: async functions run where their callers do, so that a lookup does not change executors at each of
/// its steps.
let readerSettings = settings + [.enableUpcomingFeature("NonisolatedNonsendingByDefault")]

let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let configuration: Target.Dependency = .product(name: "Configuration", package: "swift-configuration")
let coreMetrics: Target.Dependency = .product(name: "CoreMetrics", package: "swift-metrics")
let inMemoryTracing: Target.Dependency = .product(name: "InMemoryTracing", package: "swift-distributed-tracing")
let instrumentation: Target.Dependency = .product(name: "Instrumentation", package: "swift-distributed-tracing")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let metrics: Target.Dependency = .product(name: "Metrics", package: "swift-metrics")
let metricsTestKit: Target.Dependency = .product(name: "MetricsTestKit", package: "swift-metrics")
let nioConcurrencyHelpers: Target.Dependency = .product(name: "NIOConcurrencyHelpers", package: "swift-nio")
let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioEmbedded: Target.Dependency = .product(name: "NIOEmbedded", package: "swift-nio")
let nioHTTP1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let nioSSL: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")
let orderedCollections: Target.Dependency = .product(name: "OrderedCollections", package: "swift-collections")
let serviceLifecycle: Target.Dependency = .product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let subprocess: Target.Dependency = .product(name: "Subprocess", package: "swift-subprocess")
let tracing: Target.Dependency = .product(name: "Tracing", package: "swift-distributed-tracing")

let package = Package(
    name: "freshet",
    platforms: [.macOS(.v15)],
    products: [
        // What a reader needs, and no Postgres driver.
        .library(name: "Freshet", targets: ["Freshet", "Keyspace", "Redis"]),
        // The loader over libpq, for who brings no driver.
        .library(name: "FreshetPostgres", targets: ["FreshetPostgres", "Postgres"]),
        .executable(name: "freshet", targets: ["FreshetCommand"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0"),
        .package(url: "https://github.com/apple/swift-distributed-tracing", from: "1.7.3"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2"),
    ],
    targets: [
        // The C libraries: a module map and a header each, no logic.
        .systemLibrary(name: "CLibPQ", providers: [.apt(["libpq-dev"])]),
        .systemLibrary(name: "CHiredis", providers: [.apt(["libhiredis-dev"])]),

        // The two servers. They know nothing of caches.
        .target(name: "Postgres", dependencies: ["CLibPQ", logging], swiftSettings: settings),
        .target(
            name: "Redis",
            dependencies: ["CHiredis", logging, nioConcurrencyHelpers, nioCore, nioPosix, nioSSL],
            swiftSettings: readerSettings
        ),

        // Time, chance and tasks: the system's, or a simulation's.
        .target(name: "Surroundings", swiftSettings: settings),

        // The contract between worker and readers: pure functions and the scripts.
        .target(name: "Keyspace", swiftSettings: settings),

        // The readers: the library an application adds, and its loader over libpq for those who want it.
        .target(
            name: "Freshet",
            dependencies: [
                "Keyspace", "Redis", "Surroundings", instrumentation, logging, metrics, nioConcurrencyHelpers,
                serviceLifecycle, tracing,
            ],
            swiftSettings: readerSettings
        ),
        .target(name: "FreshetPostgres", dependencies: ["Freshet", "Postgres", logging], swiftSettings: settings),

        // The worker.
        .target(
            name: "InvalidationWorker",
            dependencies: [
                "Keyspace", "Postgres", "Redis", "Surroundings", logging, metrics, nioConcurrencyHelpers,
                orderedCollections,
                serviceLifecycle,
            ],
            swiftSettings: settings
        ),

        // The auditor: holds what is cached against what the database says. It knows readers and worker; neither knows it.
        .target(
            name: "Audit",
            dependencies: [
                "Freshet", "FreshetPostgres", "InvalidationWorker", "Keyspace", "Postgres", "Redis", logging, metrics,
                serviceLifecycle,
            ],
            swiftSettings: settings
        ),

        // Metrics for Prometheus. It knows nothing of caches.
        .target(name: "Prometheus", dependencies: [coreMetrics, nioConcurrencyHelpers], swiftSettings: settings),

        // What is known of a worker that runs, and how people and programs see it.
        .target(
            name: "Operations",
            dependencies: [
                "InvalidationWorker", "Keyspace", "Postgres", "Prometheus", "Redis", coreMetrics, logging,
                nioConcurrencyHelpers, nioCore, nioHTTP1, nioPosix, serviceLifecycle,
            ],
            resources: [.embedInCode("page")],
            swiftSettings: settings
        ),

        // The doctor: what is not as it should be. Facts are gathered here and judged here, and nothing is changed.
        .target(
            name: "Doctor",
            dependencies: ["InvalidationWorker", "Keyspace", "Migrations", "Postgres", "Redis", logging],
            swiftSettings: settings
        ),

        // What was applied, kept beside the cache for people to see. The worker knows nothing of it.
        .target(
            name: "ChangeFeed",
            dependencies: ["InvalidationWorker", "Keyspace", "Redis", logging, metrics, serviceLifecycle],
            swiftSettings: settings
        ),

        // Migrations: the files of sql/, embedded.
        .target(
            name: "Migrations",
            dependencies: ["Postgres", logging],
            exclude: ["sql/apply.sql", "sql/install.sql", "sql/schema.sql"],
            resources: [.embedInCode("sql")],
            swiftSettings: settings
        ),

        // What a service tells systemd. It knows nothing of Freshet.
        .target(name: "Systemd", swiftSettings: settings),

        // A private Postgres and Redis, for the demo and the tests.
        .target(name: "LocalServices", dependencies: [logging, subprocess], swiftSettings: settings),

        .executableTarget(
            name: "FreshetCommand",
            dependencies: [
                "Audit", "ChangeFeed", "Doctor", "Freshet", "FreshetPostgres", "InvalidationWorker", "Keyspace",
                "LocalServices", "Migrations", "Operations", "Postgres", "Prometheus", "Redis", "Systemd",
                argumentParser,
                configuration, logging, metrics, serviceLifecycle,
            ],
            swiftSettings: settings
        ),

        // What speed is held to; `deploy/bench` runs it, and what it, and a test, count allocations with. No product.
        .target(name: "CAllocationCount"),
        .executableTarget(
            name: "Benchmarks",
            dependencies: [
                "CAllocationCount", "CHiredis", "CLibPQ", "Freshet", "FreshetPostgres", "InvalidationWorker",
                "Keyspace", "LocalServices", "Postgres", "Redis", "Surroundings", argumentParser, logging, subprocess,
            ],
            swiftSettings: settings
        ),
        // The least that can be done between a commit and a raised generation, for Benchmarks to be held against. No product.
        .executableTarget(
            name: "CommitFloor",
            dependencies: ["CHiredis", "CLibPQ"],
            linkerSettings: [.linkedLibrary("hiredis"), .linkedLibrary("pq")]
        ),
        // The least that it takes to drain the journal, likewise.
        .executableTarget(
            name: "DrainFloor",
            dependencies: ["CHiredis", "CLibPQ"],
            linkerSettings: [.linkedLibrary("hiredis"), .linkedLibrary("pq")]
        ),

        // The real code of readers and workers among models of the two servers, led step by step; `deploy/simulate` runs it.
        // No product.
        .target(
            name: "Simulation",
            dependencies: ["Freshet", "InvalidationWorker", "Keyspace", "Postgres", "Redis", "Surroundings", logging],
            swiftSettings: settings
        ),
        .executableTarget(name: "Simulate", dependencies: ["Simulation"], swiftSettings: settings),

        // What several test targets use.
        .target(
            name: "TestSupport",
            dependencies: [logging, nioConcurrencyHelpers],
            path: "Tests/TestSupport",
            swiftSettings: settings
        ),

        // What was read, held against what was written: pure, for whoever breaks things.
        .target(name: "History", swiftSettings: settings),

        // Everything at once on real servers that are broken all the time; `deploy/chaos` runs it. No product.
        .executableTarget(
            name: "Chaos",
            dependencies: [
                "Freshet", "FreshetPostgres", "History", "Keyspace", "LocalServices", "Migrations", "Postgres", "Redis",
                "Surroundings", argumentParser, logging, nioCore, nioPosix,
            ],
            swiftSettings: settings
        ),

        // Units: no server.
        .testTarget(
            name: "PostgresTests",
            dependencies: ["Postgres", "TestSupport", logging],
            swiftSettings: settings
        ),
        .testTarget(
            name: "RedisTests",
            dependencies: [
                "CHiredis", "Redis", "TestSupport", logging, nioConcurrencyHelpers, nioCore, nioEmbedded, nioPosix,
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "FreshetCommandTests",
            dependencies: [
                "Audit", "ChangeFeed", "FreshetCommand", "InvalidationWorker", "Keyspace", "Operations", "Postgres",
                "Redis", "Systemd", logging,
            ],
            swiftSettings: settings
        ),
        .testTarget(name: "SystemdTests", dependencies: ["Systemd"], swiftSettings: settings),
        .testTarget(name: "KeyspaceTests", dependencies: ["Keyspace"], swiftSettings: settings),
        .testTarget(
            name: "FreshetTests",
            dependencies: [
                "Freshet", "Keyspace", "Redis", "Surroundings", "TestSupport", inMemoryTracing, logging,
                nioConcurrencyHelpers, tracing,
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "InvalidationWorkerTests",
            dependencies: [
                "InvalidationWorker", "Keyspace", "Postgres", "Redis", "Surroundings", "TestSupport", logging, metrics,
                metricsTestKit, nioConcurrencyHelpers,
            ],
            swiftSettings: settings
        ),
        .testTarget(name: "PrometheusTests", dependencies: ["Prometheus", coreMetrics], swiftSettings: settings),
        .testTarget(
            name: "OperationsTests",
            dependencies: [
                "InvalidationWorker", "Keyspace", "Operations", "Postgres", "Prometheus", "Redis", coreMetrics, logging,
                nioConcurrencyHelpers, serviceLifecycle, subprocess,
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "AuditTests",
            dependencies: ["Audit", "Freshet", "Keyspace", "Redis", "Surroundings"],
            swiftSettings: settings
        ),
        .testTarget(name: "DoctorTests", dependencies: ["Doctor", "Keyspace"], swiftSettings: settings),
        .testTarget(
            name: "ChangeFeedTests",
            dependencies: ["ChangeFeed", "InvalidationWorker", "Keyspace", "Redis", logging, serviceLifecycle],
            swiftSettings: settings
        ),
        .testTarget(name: "HistoryTests", dependencies: ["History"], swiftSettings: settings),
        .testTarget(name: "BenchmarksTests", dependencies: ["Benchmarks", "Surroundings"], swiftSettings: settings),
        .testTarget(
            name: "SimulationTests",
            dependencies: ["Simulate", "Simulation", subprocess],
            swiftSettings: settings
        ),
        .testTarget(name: "MigrationsTests", dependencies: ["Migrations"], swiftSettings: settings),

        // Everything that parses bytes from outside, on broken input.
        .testTarget(
            name: "FuzzTests",
            dependencies: [
                "Audit", "CLibPQ", "ChangeFeed", "Doctor", "Freshet", "FreshetCommand", "InvalidationWorker",
                "Keyspace", "Operations", "Postgres", "Prometheus", "Redis", "Surroundings", "TestSupport", logging,
                nioCore, nioEmbedded, nioHTTP1,
            ],
            exclude: ["Fuzzer"],
            swiftSettings: settings
        ),

        // Everything on real servers, which the tests start themselves.
        .testTarget(
            name: "IntegrationTests",
            dependencies: [
                "Audit", "CAllocationCount", "ChangeFeed", "Doctor", "Freshet", "FreshetPostgres", "InvalidationWorker",
                "Keyspace", "LocalServices", "Migrations", "Postgres", "Redis", "Simulation", "Surroundings",
                "TestSupport", logging, metrics, metricsTestKit, nioCore, nioPosix, serviceLifecycle, subprocess,
            ],
            swiftSettings: settings
        ),

        // A short run of Chaos, and of the caches that it must find out.
        .testTarget(
            name: "ChaosTests",
            dependencies: ["Chaos", "LocalServices", "Surroundings", argumentParser, subprocess],
            swiftSettings: settings
        ),
    ]
)

// `deploy/test` builds the units alone with the thread sanitizer: everything else would take as long again to build, for nothing.
if Context.environment["FRESHET_UNITS"] != nil {
    package.targets.removeAll {
        [
            "Benchmarks", "BenchmarksTests", "CAllocationCount", "Chaos", "CommitFloor", "ChaosTests", "DrainFloor",
            "FuzzTests", "IntegrationTests", "Simulate", "Simulation", "SimulationTests",
        ].contains($0.name)
    }
}

// `deploy/fuzz` says here where libFuzzer is. Then there is, instead of the tests, a program of libFuzzer and the targets of
// FuzzTests, and our own modules tell it what they cover.
if let libFuzzer = Context.environment["FRESHET_FUZZ"] {
    let coverage = SwiftSetting.unsafeFlags(["-sanitize=fuzzer"])
    // A library here, so that its parsers can be called; its entrance must not be the program's.
    let entrance = SwiftSetting.unsafeFlags(["-Xfrontend", "-entry-point-function-name", "-Xfrontend", "freshet_main"])
    let command = package.targets.first { $0.name == "FreshetCommand" }
    package.products.removeAll { $0.name == "freshet" }
    package.targets.removeAll {
        $0.isTest || ["Benchmarks", "CAllocationCount", "CommitFloor", "DrainFloor"].contains($0.name)
            || $0.name == "FreshetCommand"
    }
    for target in package.targets where target.type == .regular { target.swiftSettings?.append(coverage) }
    package.targets += [
        .target(
            name: "FreshetCommand",
            dependencies: command?.dependencies ?? [],
            swiftSettings: settings + [coverage, entrance]
        ),
        .executableTarget(
            name: "Fuzzer",
            dependencies: [
                "Audit", "CLibPQ", "ChangeFeed", "Doctor", "Freshet", "FreshetCommand", "InvalidationWorker",
                "Keyspace", "Operations", "Postgres", "Prometheus", "Redis", "Surroundings", "TestSupport", logging,
                nioCore, nioEmbedded, nioHTTP1,
            ],
            path: "Tests/FuzzTests",
            sources: ["Fuzzer", "Targets"],
            swiftSettings: settings,
            linkerSettings: [.unsafeFlags(["-Xlinker", libFuzzer]), .linkedLibrary("stdc++")]
        ),
    ]
}
