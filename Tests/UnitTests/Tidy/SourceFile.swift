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

  /// - Parameter path: relative to the package's directory.
  static func at(_ path: String) throws -> SourceFile {
    SourceFile(path: path, text: try String(contentsOfFile: "\(packageDirectory)/\(path)", encoding: .utf8))
  }

  /// All files below a directory of the package whose names end so, by path.
  static func all(under directory: String, endings: [String] = [".swift"]) throws -> [SourceFile] {
    let start = "\(packageDirectory)/\(directory)"
    let names = FileManager.default.enumerator(atPath: start)?.compactMap { $0 as? String } ?? []
    return try names.sorted().filter { name in endings.contains { name.hasSuffix($0) } }.map { name in
      try at("\(directory)/\(name)")
    }
  }

  /// The files of the package's own directory whose names end so, by path.
  static func atTop(endings: [String]) throws -> [SourceFile] {
    let names = try FileManager.default.contentsOfDirectory(atPath: packageDirectory)
    return try names.sorted().filter { name in endings.contains { name.hasSuffix($0) } }.map { try at($0) }
  }

  /// The number of the line that an index into ``code`` lies in, from 1, and that line without its indentation.
  func line(at index: String.Index) -> (number: Int, text: String) {
    let number = code[..<index].count { $0 == "\n" } + 1
    let start = code[..<index].lastIndex(of: "\n").map { code.index(after: $0) } ?? code.startIndex
    let end = code[index...].firstIndex(of: "\n") ?? code.endIndex
    return (number, code[start..<end].trimmingCharacters(in: .whitespaces))
  }

  /// Text in quotes is kept, since it can contain code; it is recognized so that `//` in it is no comment.
  private static func blankingComments(in text: String) -> String {
    let commentOrText = /\/\/[^\n]*|\/\*[\s\S]*?\*\/|"""[\s\S]*?"""|"(?:\\.|[^"\\\n])*"/
    return text.replacing(commentOrText.matchingSemantics(.unicodeScalar)) { match in
      match.output.hasPrefix("/") ? String(match.output.map { $0 == "\n" ? $0 : " " }) : String(match.output)
    }
  }
}
