import ArgumentParser
import Foundation

struct RunMutants: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mutants",
    abstract: "Plant bugs one at a time and see that each is noticed.",
    discussion: "Run it in the package's directory; the sources that it plants bugs in are a copy."
  )

  @Option(help: "Within how many seeds each has to be noticed.")
  var seeds = 1000
  @Option(help: "The first seed.")
  var first = 1
  @Option(help: "For how many simulated minutes faults strike.")
  var minutes = 60
  @Argument(help: "The mutants to run, by name; all if none is named.")
  var names: [String] = []

  func validate() throws {
    for name in names where !Mutant.all.contains(where: { $0.name == name }) {
      throw ValidationError("There is no mutant \(name): \(Mutant.all.map(\.name).joined(separator: ", "))")
    }
  }

  func run() throws {
    let build = MutantBuild(package: URL(fileURLWithPath: FileManager.default.currentDirectoryPath))
    try build.make()
    let chosen = Mutant.all.filter { names.isEmpty || names.contains($0.name) }
    var survivors: [String] = []
    for mutant in chosen {
      let (status, output) = try MutantBuild.run(
        build.executable.path,
        ["--seeds", "\(seeds)", "--first", "\(first)", "--minutes", "\(minutes)", "--fail-fast"],
        environment: ["TIDEMARK_MUTANT": mutant.name],
        captured: true
      )
      if status == 0 { survivors.append(mutant.name) }
      let violation = output.split(separator: "\n").first { $0.hasPrefix("seed ") }
      print(
        "\(mutant.name) (\(mutant.breaks)): \(status == 0 ? "SURVIVED" : "killed by \(violation ?? "a crash")")"
      )
      fflush(nil)
    }
    print("\(chosen.count - survivors.count) of \(chosen.count) mutants killed.")
    if !survivors.isEmpty { throw ExitCode.failure }
  }
}
