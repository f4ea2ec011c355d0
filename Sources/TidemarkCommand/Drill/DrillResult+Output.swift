import FleetDrill
import Foundation

extension DrillResult {
  var json: JSON {
    .object([
      "scenario": .string(scenario.rawValue), "is_good": JSON(isGood), "skipped": JSON(skipped),
      "violations": JSON(violations), "measures": .array(measures.map(\.json)),
    ])
  }
}

extension [DrillResult] {
  /// A table of what was measured, and beneath it what else there is to say.
  var text: String {
    var table = Table([
      ("SCENARIO", .left), ("MEASURED", .left), ("N", .right), ("MIN", .right), ("MEDIAN", .right),
      ("MAX", .right),
      ("LIMIT", .left), ("", .left),
    ])
    for result in self {
      for measure in result.measures { table.add([result.scenario.rawValue] + measure.cells) }
      if result.skipped != nil { table.add([result.scenario.rawValue, "skipped", "", "", "", "", "", ""]) }
    }
    let skipped = compactMap { result in
      result.skipped.map { "\(result.scenario.rawValue) was skipped: \($0).\n" }
    }
    let violations = flatMap { result in result.violations.map { "\(result.scenario.rawValue): \($0).\n" } }
    let verdict =
      violations.isEmpty
      ? "Every change was delivered, in order.\n" : "The check has failed:\n" + violations.joined()
    return table.text + "\n" + skipped.joined() + (allSatisfy { $0.skipped != nil } ? "" : verdict)
  }
}

extension DrillMeasure {
  fileprivate var json: JSON {
    .object([
      "name": .string(name), "unit": .string(unit.rawValue), "n": JSON(samples.count), "min": Self.json(min),
      "median": Self.json(median), "max": Self.json(max), "is_met": JSON(isMet),
      "limit": limit.map { .object(["median": Self.json($0.median), "max": Self.json($0.max)]) } ?? .null,
    ])
  }

  private static func json(_ value: Double?) -> JSON { value.map { JSON($0) } ?? .null }

  fileprivate var cells: [String] {
    let limits = [
      limit?.median.map { "median ≤ \(text($0))" }, limit?.max.map { "max ≤ \(text($0))" },
    ].compactMap(\.self)
    return [name, String(samples.count)] + [min, median, max].map { $0.map(text) ?? "–" }
      + [limits.joined(separator: ", "), limit == nil ? "" : isMet ? "ok" : "MISSED"]
  }

  private func text(_ value: Double) -> String {
    switch unit {
    case .seconds: String(format: "%.3f s", value)
    case .count: String(format: "%.0f", value)
    }
  }
}
