import Foundation

/// A copy of the package with all mutants planted in it.
struct MutantBuild {
  struct Failed: Error, CustomStringConvertible {
    var description: String
  }

  private static let parts = ["Package.swift", "Sources", "Tests", "Examples"]
  private static let switches = """
    import Foundation

    package enum Mutation {
      private static let active = ProcessInfo.processInfo.environment["TIDEMARK_MUTANT"]
      package static func isActive(_ name: String) -> Bool { active == name }
    }

    """

  var package: URL
  var copy: URL { package.appendingPathComponent(".build/mutants") }
  var executable: URL { copy.appendingPathComponent(".build/release/Simulation") }

  /// Copies, plants and builds.
  func make() throws {
    for part in Self.parts {
      let root = package.appendingPathComponent(part)
      let files = FileManager.default.enumerator(at: root, includingPropertiesForKeys: [.isRegularFileKey])
      try update(root)
      for case let file as URL in files ?? .init() { try update(file) }
    }
    try removeVanished()
    try write(Self.switches, to: "Sources/Tidemark/Mutation.swift")
    for (file, mutants) in Dictionary(grouping: Mutant.all, by: \.file) {
      var source = try String(contentsOf: package.appendingPathComponent(file), encoding: .utf8)
      for mutant in mutants { source = try mutant.plant(in: source) }
      if !file.hasPrefix("Sources/Tidemark/") { source = "import Tidemark\n" + source }
      try write(source, to: file)
    }
    try build()
  }

  /// What is not in the package any more must not be in the copy, which is kept from one run to the next.
  private func removeVanished() throws {
    let sources = copy.appendingPathComponent("Sources")
    let names = FileManager.default.enumerator(atPath: sources.path)?.compactMap { $0 as? String } ?? []
    for name in names where name.hasSuffix(".swift") && name != "Tidemark/Mutation.swift" {
      let original = package.appendingPathComponent("Sources/\(name)")
      if FileManager.default.fileExists(atPath: original.path) { continue }
      try FileManager.default.removeItem(at: sources.appendingPathComponent(name))
    }
  }

  private func update(_ file: URL) throws {
    let path = String(file.standardizedFileURL.path.dropFirst(package.standardizedFileURL.path.count + 1))
    var isDirectory: ObjCBool = false
    guard FileManager.default.fileExists(atPath: file.path, isDirectory: &isDirectory),
      !isDirectory.boolValue,
      !Mutant.all.contains(where: { $0.file == path })
    else { return }
    try write(Data(contentsOf: file), to: path)
  }

  private func write(_ text: String, to path: String) throws { try write(Data(text.utf8), to: path) }

  /// Leaves alone what is as it should be, so that little has to be built again.
  private func write(_ data: Data, to path: String) throws {
    let target = copy.appendingPathComponent(path)
    if let present = try? Data(contentsOf: target), present == data { return }
    try FileManager.default.createDirectory(
      at: target.deletingLastPathComponent(),
      withIntermediateDirectories: true
    )
    try data.write(to: target)
  }

  private func build() throws {
    let status = try Self.run(
      "/usr/bin/env",
      ["swift", "build", "-c", "release", "--product", "Simulation", "--package-path", copy.path]
    ).status
    if status != 0 { throw Failed(description: "The mutants do not build; the compiler has said why.") }
  }

  /// Runs a program to its end; with `captured` its output is returned instead of shown.
  static func run(
    _ program: String,
    _ arguments: [String],
    environment: [String: String] = [:],
    captured: Bool = false
  ) throws -> (status: Int32, output: String) {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    let pipe = Pipe()
    if captured { process.standardOutput = pipe }
    try process.run()
    let output = captured ? try pipe.fileHandleForReading.readToEnd() ?? Data() : Data()
    process.waitUntilExit()
    return (process.terminationStatus, String(decoding: output, as: UTF8.self))
  }
}
