import Foundation

/// A printed table: the first column to the left, the others to the right.
package struct Report {
  package var title: String
  package var columns: [String]
  private var rows: [[String]] = []

  package init(_ title: String, _ columns: String...) {
    self.title = title
    self.columns = columns
  }

  package mutating func add(_ cells: String...) {
    rows.append(cells)
  }

  package func print() {
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
  package func formatted(_ digits: Int) -> String { String(format: "%.\(digits)f", self) }
}

extension Int {
  package var inKilobytes: String { (Double(self) / 1000).formatted(1) + " kB" }

  /// With a comma between thousands.
  package var grouped: String {
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
  package var milliseconds: Double { self / .milliseconds(1) }
  package var seconds: Double { self / .seconds(1) }
}

package func median<Value: Comparable>(_ values: [Value]) -> Value? {
  values.isEmpty ? nil : values.sorted()[values.count / 2]
}
