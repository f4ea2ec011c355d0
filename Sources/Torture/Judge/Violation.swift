import FleetDrill
import Tidemark

/// What was wrong, in a sentence, and what it is seen by.
struct Violation: Sendable, CustomStringConvertible {
  var sentence: String
  /// The item's journal, and what was delivered of it.
  var evidence: [String] = []

  var description: String { ([sentence] + evidence.map { "  \($0)" }).joined(separator: "\n") }

  init(_ sentence: String) {
    self.sentence = sentence
  }

  /// - Parameter index: where in both lists the difference is.
  init(_ sentence: String, journal: [OrderChange], delivered: [OrderChange], around index: Int) {
    self.sentence = sentence
    evidence = [
      "journal:   \(Self.text(journal, around: index))", "delivered: \(Self.text(delivered, around: index))",
    ]
  }

  private static func text(_ changes: [OrderChange], around index: Int) -> String {
    let first = max(0, index - 4)
    let shown = changes.dropFirst(first).prefix(10)
    let words = shown.map(\.text)
    return (first > 0 ? "(\(first) before) " : "") + words.joined(separator: " ")
      + (first + shown.count < changes.count ? " (\(changes.count - first - shown.count) more)" : "")
  }
}

extension OrderChange {
  /// A version is shown by the number that it was drawn with; see ``ItemTable``.
  var text: String { "\(event.rawValue)@\(version >> 20).\(version & 0xfffff)" }
}
