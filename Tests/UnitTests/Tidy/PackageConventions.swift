/// What holds for the files of the package by their names.
enum PackageConventions {
  /// Migrations are named `0001_what.up.sql` and `0001_what.down.sql`, numbered from 1 without gaps, each number
  /// once.
  static func problems(ofMigrations fileNames: [String]) -> [String] {
    var problems: [String] = []
    // By version and chapter.
    var chapters: [Int: [Int: [String]]] = [:]
    for name in fileNames.sorted() {
      guard let match = name.wholeMatch(of: /v(\d+)_(\d{2})_[a-z0-9_]+\.(up|down)\.sql/),
        let version = Int(match.1), let chapter = Int(match.2)
      else {
        problems.append("\(name) is not named like a migration")
        continue
      }
      chapters[version, default: [:]][chapter, default: []].append(String(match.3))
    }
    for (index, version) in chapters.keys.sorted().enumerated() {
      if version != index + 1 { problems.append("version \(version) does not have the number \(index + 1)") }
      for (index, chapter) in (chapters[version] ?? [:]).sorted(by: { $0.key < $1.key }).enumerated() {
        if chapter.key != index + 1 {
          problems.append(
            "chapter \(chapter.key) of version \(version) does not have the number \(index + 1)"
          )
        }
        if chapter.value != ["down", "up"] {
          problems.append("chapter \(chapter.key) of version \(version) has not both directions")
        }
      }
    }
    return problems
  }

  /// A file with public types is named after one of them; `Type+Aspect.swift` is for parts of one.
  static func problem(ofTypesIn file: SourceFile) -> String? {
    let declaration =
      /^(?:@\w+\s+)*(?:public|open)\s+(?:final\s+|indirect\s+)?(?:struct|class|enum|actor|protocol)\s+(\w+)/
    let names = file.code.matches(of: declaration.anchorsMatchLineEndings()).map { String($0.1) }
    let fileName = file.path.split(separator: "/").last ?? ""
    let expected = String(fileName.prefix { $0 != "+" && $0 != "." })
    if names.isEmpty || names.contains(expected) { return nil }
    return "\(file.path) has the public types \(names.joined(separator: ", ")) and is named after none"
  }

  /// Work that was left for later is an issue in the tracker, not a mark in the sources.
  static func unfinished(in file: SourceFile) -> [String] {
    // Not written as one word, or this line would be found.
    let marks = ["TO" + "DO", "FIX" + "ME"]
    return file.text.split(separator: "\n", omittingEmptySubsequences: false).enumerated()
      .filter { _, line in marks.contains { line.contains($0) } }
      .map { index, line in "\(file.path):\(index + 1): \(line)" }
  }
}
