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

let package = Package(
    name: "freshet",
    platforms: [.macOS(.v15)],
    targets: [
        // The C libraries: a module map and a header each, no logic.
        .systemLibrary(name: "CLibPQ", providers: [.apt(["libpq-dev"])]),
        .systemLibrary(name: "CHiredis", providers: [.apt(["libhiredis-dev"])]),
    ]
)
