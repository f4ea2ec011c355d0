import Foundation

/// A printed table: the first column to the left, the others to the right.
struct Report {
  var title: String
  var columns: [String]
  private var rows: [[String]] = []

  init(_ title: String, _ columns: String...) {
    self.title = title
    self.columns = columns
  }

  mutating func add(_ cells: String...) {
    rows.append(cells)
  }

  func print() {
    let table = [columns] + rows
    let widths = columns.indices.map { column in table.map { $0[column].count }.max() ?? 0 }
    Swift.print("\n\(title)")
    for row in table {
      let cells = row.enumerated().map { column, cell in
        let padding = String(repeating: " ", count: widths[column] - cell.count)
        return column == 0 ? cell + padding : padding + cell
      }
      Swift.print("  " + cells.joined(separator: "  "))
    }
    // A run takes minutes, and into a file this would come at its end.
    fflush(nil)
  }
}

extension Double {
  func formatted(_ digits: Int) -> String { String(format: "%.\(digits)f", self) }
}

extension Int {
  var inKilobytes: String { (Double(self) / 1000).formatted(1) + " kB" }

  /// With a comma between thousands.
  var grouped: String {
    var text = String(abs(self))
    var groups: [String] = []
    while text.count > 3 {
      groups.insert(String(text.suffix(3)), at: 0)
      text.removeLast(3)
    }
    return (self < 0 ? "-" : "") + ([text] + groups).joined(separator: ",")
  }
}

extension Duration {
  var milliseconds: Double { self / .milliseconds(1) }
  var seconds: Double { self / .seconds(1) }
}

func median<Value: Comparable>(_ values: [Value]) -> Value? {
  values.isEmpty ? nil : values.sorted()[values.count / 2]
}
