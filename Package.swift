// swift-tools-version: 6.1
import PackageDescription

var swiftSettings: [SwiftSetting] = [
  // https://github.com/swiftlang/swift-evolution/blob/main/proposals/0335-existential-any.md
  .enableUpcomingFeature("ExistentialAny"),
  // https://github.com/swiftlang/swift-evolution/blob/main/proposals/0444-member-import-visibility.md
  .enableUpcomingFeature("MemberImportVisibility"),
]
// Not for packages that depend on this one: SwiftPM refuses unsafe flags in a dependency.
if Context.environment["TIDEMARK_WARNINGS_AS_ERRORS"] != nil {
  swiftSettings.append(.unsafeFlags(["-warnings-as-errors"]))
}

/// The trait without which a build needs neither what is for Amazon's streams alone, nor its eighteen packages.
let aws = "AWS"

func amazons(_ product: String, _ package: String) -> Target.Dependency {
  .product(name: product, package: package, condition: .when(traits: [aws]))
}

@MainActor
func example(_ name: String, _ more: Target.Dependency...) -> Target {
  .executableTarget(
    name: name,
    dependencies: [
      "ExampleSupport", "Tidemark", "TidemarkPostgres", "LibPQ",
      .product(name: "Logging", package: "swift-log"),
      .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
      .product(name: "UnixSignals", package: "swift-service-lifecycle"),
    ] + more,
    path: "Examples/\(name)",
    exclude: ["README.md"],
    swiftSettings: swiftSettings
  )
}

let package = Package(
  name: "tidemark",
  platforms: [.macOS(.v15)],
  products: [
    .library(name: "Tidemark", targets: ["Tidemark"]),
    .library(name: "TidemarkPostgres", targets: ["TidemarkPostgres"]),
    .library(name: "TidemarkStreams", targets: ["TidemarkStreams"]),
    .library(name: "TidemarkAWS", targets: ["TidemarkAWS"]),
    .library(name: "TidemarkTestKit", targets: ["TidemarkTestKit"]),
    .library(name: "LibPQ", targets: ["LibPQ"]),
    .library(name: "LocalPostgres", targets: ["LocalPostgres"]),
    .executable(name: "tidemark", targets: ["TidemarkCommand"]),
  ],
  traits: [
    .trait(
      name: aws,
      description: "DynamoDB Streams and Kinesis as sources: TidemarkAWS, and the command's use of it."
    )
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
    .package(url: "https://github.com/apple/swift-collections", from: "1.1.0"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.0.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.86.0"),
    .package(url: "https://github.com/swift-server/async-http-client", from: "1.30.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.8.0"),
  ],
  targets: [
    .systemLibrary(
      name: "CLibPQ",
      pkgConfig: "libpq",
      providers: [.apt(["libpq-dev"]), .brew(["libpq"])]
    ),
    .target(name: "Waiting", swiftSettings: swiftSettings),
    .target(
      name: "LibPQ",
      dependencies: ["CLibPQ", "Waiting", .product(name: "Logging", package: "swift-log")],
      swiftSettings: swiftSettings
    ),
    .target(
      name: "Tidemark",
      dependencies: [
        "Waiting",
        .product(name: "HeapModule", package: "swift-collections"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
      ],
      swiftSettings: swiftSettings
    ),
    .target(
      name: "TidemarkPostgres",
      dependencies: ["Tidemark", "LibPQ", "Waiting", .product(name: "Logging", package: "swift-log")],
      resources: [.embedInCode("Migrations")],
      swiftSettings: swiftSettings
    ),
    .target(
      name: "TidemarkStreams",
      dependencies: [
        "Tidemark", "TidemarkPostgres", "LibPQ", "Waiting",
        .product(name: "Logging", package: "swift-log"),
      ],
      resources: [.embedInCode("Migrations")],
      swiftSettings: swiftSettings
    ),
    .target(
      name: "AWSRequests",
      dependencies: [
        "Tidemark",
        amazons("AsyncHTTPClient", "async-http-client"),
        amazons("Crypto", "swift-crypto"),
        .product(name: "Logging", package: "swift-log"),
        amazons("NIOCore", "swift-nio"),
        amazons("NIOHTTP1", "swift-nio"),
      ],
      swiftSettings: swiftSettings
    ),
    .target(
      name: "TidemarkAWS",
      dependencies: [
        "AWSRequests", "Tidemark",
        amazons("AsyncHTTPClient", "async-http-client"),
        amazons("Crypto", "swift-crypto"),
        .product(name: "Logging", package: "swift-log"),
        amazons("NIOCore", "swift-nio"),
        amazons("NIOHTTP1", "swift-nio"),
      ],
      swiftSettings: swiftSettings
    ),
    .target(
      name: "TidemarkTestKit",
      dependencies: ["Tidemark", "Waiting", .product(name: "HeapModule", package: "swift-collections")],
      swiftSettings: swiftSettings
    ),
    .executableTarget(
      name: "Simulation",
      dependencies: [
        "Tidemark", "TidemarkPostgres", "TidemarkStreams", "TidemarkTestKit", "LibPQ", "Waiting",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "ServiceLifecycleTestKit", package: "swift-service-lifecycle"),
      ],
      swiftSettings: swiftSettings
    ),
    .target(
      name: "LocalPostgres",
      resources: [.embedInCode("supervise.sh")],
      swiftSettings: swiftSettings
    ),
    .target(
      name: "FleetDrill",
      dependencies: [
        "Tidemark", "TidemarkPostgres", "TidemarkStreams", "LibPQ", "LocalPostgres",
        .product(name: "Logging", package: "swift-log"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
        .product(name: "UnixSignals", package: "swift-service-lifecycle"),
      ],
      swiftSettings: swiftSettings
    ),
    .executableTarget(
      name: "Torture",
      dependencies: [
        "FleetDrill", "LocalPostgres", "LibPQ", "Tidemark", "TidemarkPostgres", "TidemarkStreams",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: swiftSettings
    ),
    .executableTarget(
      name: "TidemarkCommand",
      dependencies: [
        "Tidemark", .target(name: "TidemarkAWS", condition: .when(traits: [aws])), "TidemarkPostgres",
        "TidemarkStreams", "LibPQ", "LocalPostgres",
        "FleetDrill", "Waiting",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "UnixSignals", package: "swift-service-lifecycle"),
      ],
      swiftSettings: swiftSettings
    ),
    .target(
      name: "ExampleSupport",
      dependencies: [
        "TidemarkPostgres", "TidemarkStreams", "LibPQ", "LocalPostgres",
        .product(name: "Logging", package: "swift-log"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
      ],
      path: "Examples/Support",
      swiftSettings: swiftSettings
    ),
    example("FirstProcessor"),
    example("OrderProjector"),
    example("CustomProcessor"),
    example("CustomerTotals"),
    example("AmazonStreams", "TidemarkAWS"),
    .testTarget(
      name: "UnitTests",
      dependencies: [
        "Tidemark", "TidemarkTestKit", "TestSupport",
        .product(name: "Logging", package: "swift-log"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
      ],
      resources: [.copy("Fixtures")],
      swiftSettings: swiftSettings
    ),
    .target(
      name: "TestSupport",
      dependencies: [
        "LocalPostgres", "LibPQ", "TidemarkPostgres", "TidemarkStreams",
        .product(name: "Logging", package: "swift-log"),
      ],
      path: "Tests/TestSupport",
      swiftSettings: swiftSettings
    ),
    .testTarget(
      name: "SimulationTests",
      dependencies: ["Simulation", "TestSupport", "Tidemark", "TidemarkTestKit"],
      swiftSettings: swiftSettings
    ),
    .testTarget(
      name: "LibPQTests",
      dependencies: [
        "LibPQ", "LocalPostgres", "TestSupport", .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: swiftSettings
    ),
    .testTarget(
      name: "PostgresTests",
      dependencies: [
        "LibPQ", "TidemarkPostgres", "TidemarkStreams", "TidemarkTestKit", "LocalPostgres",
        "TestSupport",
      ],
      swiftSettings: swiftSettings
    ),
    .testTarget(
      name: "AWSTests",
      dependencies: [
        "AmazonStreams", "AWSRequests", "LibPQ", "TestSupport", "Tidemark", "TidemarkAWS",
        "TidemarkCommand",
        "TidemarkPostgres", "TidemarkStreams",
        amazons("AsyncHTTPClient", "async-http-client"),
        amazons("Crypto", "swift-crypto"),
        .product(name: "Logging", package: "swift-log"),
        amazons("NIOCore", "swift-nio"),
        amazons("NIOHTTP1", "swift-nio"),
        amazons("NIOPosix", "swift-nio"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
      ],
      exclude: ["emulator.sh", "moto_server.py", "ministack_server.py"],
      swiftSettings: swiftSettings
    ),
    .testTarget(
      name: "CommandTests",
      dependencies: [
        "TidemarkCommand", "FleetDrill", "Tidemark", "TidemarkPostgres", "TidemarkStreams", "LibPQ",
        "LocalPostgres",
        "TestSupport", .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: swiftSettings
    ),
    .testTarget(
      name: "FleetTests",
      dependencies: [
        "FleetDrill", "LocalPostgres", "LibPQ", "TestSupport", "Tidemark", "TidemarkPostgres",
        "TidemarkStreams",
        "TidemarkCommand", "Torture",
      ],
      swiftSettings: swiftSettings
    ),
    .testTarget(
      name: "ExampleTests",
      dependencies: [
        "FirstProcessor", "OrderProjector", "CustomProcessor", "CustomerTotals", "LocalPostgres",
        "LibPQ", "TestSupport", "TidemarkPostgres",
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: swiftSettings
    ),
  ],
  swiftLanguageModes: [.v6]
)

// deploy/sanitize.sh builds two of the test targets and what they need: all takes three times as long.
if let names = Context.environment["TIDEMARK_TEST_TARGETS"]?.split(separator: ",") {
  package.targets.removeAll { $0.type == .test && !names.contains(Substring($0.name)) }
}
