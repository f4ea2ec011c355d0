/// Text in aligned columns.
struct Table {
  enum Alignment {
    case left, right
  }

  private var columns: [(title: String, alignment: Alignment)]
  private var rows: [[String]] = []

  init(_ columns: [(String, Alignment)]) {
    self.columns = columns
  }

  var isEmpty: Bool { rows.isEmpty }

  mutating func add(_ cells: [String]) {
    rows.append(cells.map(\.printable))
  }

  /// Names and values, one a line.
  static func facts(_ facts: [(String, String)]) -> String {
    var table = Table([("", .left), ("", .left)])
    for (name, value) in facts { table.add([name, value]) }
    return table.text
  }

  /// The lines, each with its end. The titles are left out if all are empty.
  var text: String {
    let titles = columns.map(\.title)
    let lines = (titles.allSatisfy(\.isEmpty) ? [] : [titles]) + rows
    let widths = columns.indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
    return lines.map { cells in
      let padded = columns.indices.map { column in
        let space = String(repeating: " ", count: widths[column] - cells[column].count)
        return columns[column].alignment == .left ? cells[column] + space : space + cells[column]
      }
      return String(padded.joined(separator: "  ").trimmingSuffix { $0 == " " }) + "\n"
    }.joined()
  }
}

extension String {
  /// With everything escaped that is not seen or changes how the rest is seen: what others wrote must neither move the
  /// cursor of a terminal, nor reorder or hide text, nor end a line.
  var printable: String {
    // An image may have many megabytes, mostly of ASCII.
    guard utf8.contains(where: { $0 < 0x20 || $0 >= 0x7f }), unicodeScalars.contains(where: \.isInvisible)
    else { return self }
    return unicodeScalars.reduce(into: "") { text, scalar in
      if scalar.isInvisible {
        text += scalar.escaped(asASCII: true)
      } else {
        text.unicodeScalars.append(scalar)
      }
    }
  }

  fileprivate func trimmingSuffix(while predicate: (Character) -> Bool) -> Substring {
    guard let last = lastIndex(where: { !predicate($0) }) else { return "" }
    return self[...last]
  }
}

extension Unicode.Scalar {
  /// Control and format characters, among them those of direction, and separators of lines.
  fileprivate var isInvisible: Bool {
    if value >= 0x20, value < 0x7f { return false }
    return switch properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator: true
    default: false
    }
  }
}
