// swift-tools-version: 6.1
import PackageDescription

let settings: [SwiftSetting] = [
  .enableUpcomingFeature("ExistentialAny"), .enableUpcomingFeature("MemberImportVisibility"),
]

@MainActor
func benchmarks(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .executableTarget(
    name: name,
    dependencies: [
      "BenchmarkSupport",
      .product(name: "Tidemark", package: "tidemark"),
      .product(name: "TidemarkPostgres", package: "tidemark"),
      .product(name: "TidemarkStreams", package: "tidemark"),
      .product(name: "LibPQ", package: "tidemark"),
      .product(name: "ArgumentParser", package: "swift-argument-parser"),
      .product(name: "Logging", package: "swift-log"),
    ] + dependencies,
    swiftSettings: settings
  )
}

// A package of its own, so that packages that depend on Tidemark build none of this.
let package = Package(
  name: "tidemark-benchmarks",
  platforms: [.macOS(.v15)],
  dependencies: [
    .package(name: "tidemark", path: "..", traits: ["AWS"]),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.86.0"),
    .package(url: "https://github.com/swift-server/async-http-client", from: "1.30.0"),
  ],
  targets: [
    .target(
      name: "BenchmarkSupport",
      dependencies: [
        .product(name: "Tidemark", package: "tidemark"),
        .product(name: "TidemarkPostgres", package: "tidemark"),
        .product(name: "TidemarkStreams", package: "tidemark"),
        .product(name: "LibPQ", package: "tidemark"),
        .product(name: "LocalPostgres", package: "tidemark"),
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: settings
    ),
    .target(name: "CAllocationCount"),
    benchmarks("LeaseBenchmarks", [.product(name: "TidemarkTestKit", package: "tidemark")]),
    benchmarks("StreamBenchmarks", ["CAllocationCount"]),
    benchmarks(
      "SourceBenchmarks",
      [
        "CAllocationCount",
        .product(name: "TidemarkAWS", package: "tidemark"),
        .product(name: "AsyncHTTPClient", package: "async-http-client"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
      ]
    ),
  ],
  swiftLanguageModes: [.v6]
)
