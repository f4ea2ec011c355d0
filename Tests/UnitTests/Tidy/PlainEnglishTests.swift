import Testing

@Suite("Plain English")
struct PlainEnglishTests {
  @Test("each habit is found where it is, and nowhere else", arguments: PlainEnglish.habits)
  func examples(habit: PlainEnglish) throws {
    func violations(_ text: String) throws -> [String] {
      var file = SourceFile(path: "a.md", text: text)
      file.code = text
      return try habit.check(file).violations
    }
    for example in habit.examples {
      #expect(try violations(example.before).count == 1, "\(example.before)")
      #expect(try violations(example.after) == [])
    }
    for sentence in habit.fine { #expect(try violations(sentence) == []) }
  }
}
