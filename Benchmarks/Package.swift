// swift-tools-version: 6.1
import PackageDescription

// A package of its own, so that who depends on Tidemark builds none of this.
let package = Package(
  name: "tidemark-benchmarks",
  platforms: [.macOS(.v15)],
  dependencies: [
    .package(name: "tidemark", path: ".."),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
  ],
  targets: [
    .executableTarget(
      name: "LeaseBenchmarks",
      dependencies: [
        .product(name: "Tidemark", package: "tidemark"),
        .product(name: "TidemarkPostgres", package: "tidemark"),
        .product(name: "TidemarkTestKit", package: "tidemark"),
        .product(name: "PostgresClient", package: "tidemark"),
        .product(name: "LocalPostgres", package: "tidemark"),
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: [
        .enableUpcomingFeature("ExistentialAny"), .enableUpcomingFeature("MemberImportVisibility"),
      ]
    )
  ],
  swiftLanguageModes: [.v6]
)
