import Foundation

/// A file of this package, as the rules look at it.
struct SourceFile {
  /// Relative to the package's directory.
  var path: String
  var text: String
  /// The text with comments blanked, so that lines and columns stay.
  var code: String

  init(path: String, text: String) {
    self.path = path
    self.text = text
    self.code = Self.blankingComments(in: text)
  }

  private static let packageDirectory = URL(filePath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().path

  /// All files below a directory of the package whose names end so, by path.
  static func all(under directory: String, endings: [String] = [".swift"]) throws -> [SourceFile] {
    let start = "\(packageDirectory)/\(directory)"
    let names = FileManager.default.enumerator(atPath: start)?.compactMap { $0 as? String } ?? []
    return try names.sorted().filter { name in endings.contains { name.hasSuffix($0) } }.map { name in
      let text = try String(contentsOfFile: "\(start)/\(name)", encoding: .utf8)
      return SourceFile(path: "\(directory)/\(name)", text: text)
    }
  }

  /// The number of the line that an index into ``code`` lies in, from 1, and that line without its indentation.
  func line(at index: String.Index) -> (number: Int, text: String) {
    let number = code[..<index].count { $0 == "\n" } + 1
    let start = code[..<index].lastIndex(of: "\n").map { code.index(after: $0) } ?? code.startIndex
    let end = code[index...].firstIndex(of: "\n") ?? code.endIndex
    return (number, code[start..<end].trimmingCharacters(in: .whitespaces))
  }

  /// Text in quotes is kept, since code can stand in it; it is recognized so that `//` in it is no comment.
  private static func blankingComments(in text: String) -> String {
    var bytes = Array(text.utf8)
    var index = 0
    var depth = 0
    var quote: [UInt8]?
    func isAt(_ mark: [UInt8]) -> Bool { bytes[index...].starts(with: mark) }
    func blank(_ count: Int) {
      for _ in 0..<count where index < bytes.count {
        if bytes[index] != newline { bytes[index] = UInt8(ascii: " ") }
        index += 1
      }
    }
    while index < bytes.count {
      if let open = quote {
        if isAt(open) || open == doubleQuote && bytes[index] == newline {
          quote = nil
          index += open.count
        } else {
          index += bytes[index] == UInt8(ascii: "\\") ? 2 : 1
        }
      } else if isAt(commentStart) {
        depth += 1
        blank(2)
      } else if depth > 0 {
        if isAt(commentEnd) {
          depth -= 1
          blank(1)
        }
        blank(1)
      } else if isAt(lineComment) {
        blank(bytes[index...].prefix { $0 != newline }.count)
      } else if let mark = [tripleQuote, doubleQuote].first(where: isAt) {
        quote = mark
        index += mark.count
      } else {
        index += 1
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  private static let newline = UInt8(ascii: "\n")
  private static let doubleQuote = Array("\"".utf8)
  private static let tripleQuote = Array("\"\"\"".utf8)
  private static let lineComment = Array("//".utf8)
  private static let commentStart = Array("/*".utf8)
  private static let commentEnd = Array("*/".utf8)
}
