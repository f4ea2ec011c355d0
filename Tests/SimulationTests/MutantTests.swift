import Foundation
import Testing

@testable import Simulation

/// That each mutant is noticed is shown by `Simulation mutants`, which takes a build of its own.
@Suite("Mutants")
struct MutantTests {
  @Test("each can be planted in the sources as they stand", arguments: Mutant.all.map(\.name))
  func plant(_ name: String) throws {
    let mutant = try #require(Mutant.all.first { $0.name == name })
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let source = try String(contentsOf: root.appendingPathComponent(mutant.file), encoding: .utf8)
    #expect(try mutant.plant(in: source).contains("Mutation.isActive(\"\(name)\")"))
  }

  @Test("each has a name of its own")
  func names() {
    #expect(Set(Mutant.all.map(\.name)).count == Mutant.all.count)
  }

  @Test("only the marked part of a line is replaced, and a line that is not there once is an error")
  func marked() throws {
    let mutant = Mutant("m", breaks: "S1", in: "f", "if «a» {", becomes: "b")
    #expect(try mutant.plant(in: "x\nif a {\n}") == "x\nif (Mutation.isActive(\"m\") ? (b) : (a)) {\n}")
    #expect(throws: Mutant.DoesNotApply.self) { try mutant.plant(in: "if a { if a {") }
    #expect(throws: Mutant.DoesNotApply.self) { try mutant.plant(in: "if c {") }
  }
}
