import Testing

@Suite("The package's traits")
struct PackageTraitTests {
  @Test("without the trait AWS nobody resolves an HTTP client, cryptography or NIO")
  func lean() throws {
    let manifest = try SourceFile.at("Package.swift").text
    func packages(_ pattern: Regex<(Substring, Substring)>) -> Set<String> {
      Set(manifest.matches(of: pattern).map { String($0.1) })
    }
    let always = packages(/\.product\(name: "\w+", package: "([\w-]+)"/)
    let withTrait = packages(/amazons\("\w+", "([\w-]+)"\)/)
    #expect(always == ["swift-argument-parser", "swift-collections", "swift-log", "swift-service-lifecycle"])
    #expect(withTrait == ["async-http-client", "swift-crypto", "swift-nio"])
    #expect(packages(/\.package\(url: "[^"]*\/([\w-]+)"/) == always.union(withTrait))
  }

  @Test(
    "whatever is for Amazon's streams alone is left out without the trait",
    arguments: ["Sources/AWSRequests", "Sources/TidemarkAWS", "Tests/AWSTests", "Examples/AmazonStreams"]
  )
  func guarded(directory: String) throws {
    let files = try SourceFile.all(under: directory)
    try #require(!files.isEmpty)
    for file in files {
      #expect(file.text.hasPrefix("#if AWS\n") || file.text.hasPrefix("#if !AWS\n"), "\(file.path)")
      #expect(file.text.hasSuffix("#endif\n"), "\(file.path)")
    }
  }
}
