import Foundation
import LocalPostgres
import TestSupport
import Testing

@testable import TidemarkCommand

@Suite("What is printed for people")
struct TableTests {
  /// One of each kind that moves the cursor, reorders or hides text, or ends a line.
  static let dangerous: [Unicode.Scalar] = [
    "\u{0}", "\u{7}", "\u{8}", "\t", "\n", "\u{B}", "\u{C}", "\r", "\u{1B}", "\u{7F}", "\u{80}", "\u{85}",
    "\u{9B}",
    "\u{9F}", "\u{AD}", "\u{61C}", "\u{180E}", "\u{200B}", "\u{200D}", "\u{200E}", "\u{200F}", "\u{2028}",
    "\u{2029}",
    "\u{202A}", "\u{202B}", "\u{202C}", "\u{202D}", "\u{202E}", "\u{2060}", "\u{2066}", "\u{2067}",
    "\u{2068}",
    "\u{2069}", "\u{FEFF}", "\u{FFF9}", "\u{1D173}", "\u{E0001}",
  ]

  static func isDangerous(_ scalar: Unicode.Scalar) -> Bool {
    [.control, .format, .lineSeparator, .paragraphSeparator].contains(scalar.properties.generalCategory)
  }

  @Test("control, direction and format characters are escaped in a cell, and the columns stay aligned")
  func cells() {
    #expect(Self.dangerous.allSatisfy(Self.isDangerous))
    var table = Table([("NAME", .left), ("COUNT", .right), ("REST", .left)])
    table.add(["plain", "1", "|"])
    for scalar in Self.dangerous { table.add(["a\(scalar)b", "\(scalar)", "|"]) }
    let lines = table.text.split(separator: "\n", omittingEmptySubsequences: false)
    #expect(lines.count == Self.dangerous.count + 3, "a line for each row, and nothing after the last")
    #expect(!table.text.unicodeScalars.contains { $0 != "\n" && Self.isDangerous($0) })
    let ends = Set(lines.dropFirst().dropLast().map { $0.distance(from: $0.startIndex, to: $0.endIndex) })
    #expect(ends.count == 1, "the last column begins at another place in some line")
    #expect(table.text.contains(#"a\u{202E}b"#) && table.text.contains(#"a\nb"#))
  }

  @Test("no character that can be escaped is overlooked, and all others are left as they are")
  func everyScalar() {
    for value in UInt32(0)...0x10FFFF {
      guard let scalar = Unicode.Scalar(value) else { continue }
      let text = String(Character(scalar)).printable
      if Self.isDangerous(scalar) {
        #expect(text == scalar.escaped(asASCII: true))
      } else if text.unicodeScalars.first != scalar || text.unicodeScalars.count != 1 {
        Issue.record("U+\(String(value, radix: 16)) became \(text)")
      }
    }
  }

  @Test("letters of all scripts, accents and symbols stay")
  func letters() {
    for text in ["Ünïcödé", "e\u{301}", "שלום", "العربية", "日本語", "naïve – “quoted”", "€ ✓ 🎉"] {
      #expect(text.printable == text)
    }
  }

  @Test("a name in an error cannot pass for another line, and a server's log stays a log")
  func errors() {
    let failure = CommandFailure("There is no a\nHelp: do harm\u{202E}.", advice: "Look at \u{9B}2J.")
    let lines = failure.report.split(separator: "\n")
    #expect(lines == [#"Error: There is no a\nHelp: do harm\u{202E}."#, #"Help: Look at \u{009B}2J."#])
    let server = LocalPostgresError(.startFailed, "It ended. Its log ends with:\nHelp: \u{1B}[1m\nlast")
    #expect(
      CommandFailure(server)?.report
        == "Error: It ended. Its log ends with:\n" + #"  Help: \u{1B}[1m"# + "\n  last\n"
    )
  }
}
