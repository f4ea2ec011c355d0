import Testing

/// What must not be in the code of a target.
struct SourceRule: Sendable, CustomTestStringConvertible {
  /// One line of one file, which may break the rule; it is compared without its indentation.
  struct Exception: Sendable, Hashable {
    var path: String
    var line: String
  }

  var name: String
  /// A regular expression that matches what breaks the rule. It sees whole files without their comments.
  var pattern: String
  var exceptions: Set<Exception> = []

  var testDescription: String { name }

  /// Each place that breaks the rule, as text, and the exceptions that were met.
  func check(_ file: SourceFile) throws -> (violations: [String], met: Set<Exception>) {
    var violations: [String] = []
    var met: Set<Exception> = []
    for match in file.code.matches(of: try Regex(pattern).matchingSemantics(.unicodeScalar)) {
      // A pattern may begin with the end of the line before.
      let start = file.code[match.range].firstIndex { !$0.isWhitespace } ?? match.range.lowerBound
      let (number, line) = file.line(at: start)
      let exception = Exception(path: file.path, line: line)
      if exceptions.contains(exception) {
        met.insert(exception)
      } else {
        violations.append("\(file.path):\(number): \(line)")
      }
    }
    return (violations, met)
  }
}

extension SourceRule {
  /// What makes Tidemark deterministic by construction: time, chance and ids come from outside, and every task
  /// has an end that somebody waits for. And it stays what everything else may import.
  static let forTidemark = [
    SourceRule(
      name: "no unstructured task",
      pattern: #"\bTask\s*(<[^>]*>\s*)?[({]|\bTask\.(detached|init|immediate)\b"#
    ),
    SourceRule(name: "no sleep but the clock's", pattern: #"\bTask\.sleep\b|\b(u|nano)sleep\s*\("#),
    SourceRule(
      name: "no wall clock",
      pattern: #"\bDate\s*[(.]|\bDispatch\w*|(^|[^.\w])(clock_gettime|gettimeofday|time)\s*\("#,
      exceptions: [
        // A field's type, and a value that was in a column.
        Exception(
          path: "Sources/Tidemark/JSON/FoundationValues.swift",
          line: "if type == Date.self { return try date(at: node, path: path) as? Value }"
        ),
        Exception(
          path: "Sources/Tidemark/JSON/FoundationValues.swift",
          line: "let time = try timestamp(at: node, as: Date.self, path: path).microsecondsSinceEpoch"
        ),
        Exception(
          path: "Sources/Tidemark/JSON/FoundationValues.swift",
          line: "default: return Date(timeIntervalSince1970: Double(time) / 1_000_000)"
        ),
      ]
    ),
    SourceRule(
      name: "no clock but the one passed in",
      pattern:
        #"\b(Continuous|Suspending)Clock\s*\(\)|Clock(\.Instant)?\.now\b|[=(:,]\s*\.now\b|\bSuspendingClock\b"#,
      exceptions: [
        Exception(
          path: "Sources/Tidemark/Worker/Worker.swift",
          line: "clock: any MonotonicClock = ContinuousClock(),"
        )
      ]
    ),
    SourceRule(
      name: "no randomness but the one passed in",
      pattern: #"\.(random|randomElement|shuffled?)\((?!([^()]|\([^()]*\))*\busing:)"#
        + #"|\bSystemRandomNumberGenerator\b|\b(arc4random|drand48|s?rand)\w*\s*\("#,
      exceptions: [
        Exception(
          path: "Sources/Tidemark/Support/SharedRandom.swift",
          line:
            "public init(_ generator: any RandomNumberGenerator & Sendable = SystemRandomNumberGenerator()) {"
        )
      ]
    ),
    SourceRule(name: "no ids of its own making", pattern: #"\bUUID\s*\("#),
    SourceRule(
      name: "nothing that ends the process",
      pattern:
        #"\b(fatalError|precondition|preconditionFailure|assert|assertionFailure|abort|exit)\s*\(|\b(try|as)!"#,
      exceptions: [
        // It is what this is for.
        Exception(path: "Sources/Tidemark/Support/exitOnFailure.swift", line: "exit(1)")
      ]
    ),
    SourceRule(
      name: "no database, no network, no operating system",
      pattern:
        #"(^|\n)[ @\w()]*\bimport\s+(?!(HeapModule|Logging|ServiceLifecycle|Synchronization|Waiting)\b)\w"#,
      exceptions: [
        // For the types of users' fields: Date, Decimal and their like.
        Exception(path: "Sources/Tidemark/JSON/FoundationValues.swift", line: "import FoundationEssentials"),
        Exception(path: "Sources/Tidemark/JSON/FoundationValues.swift", line: "import Foundation"),
        // For gethostname and getpid: names for people.
        Exception(path: "Sources/Tidemark/Worker/WorkerIdentity.swift", line: "import Glibc"),
        Exception(path: "Sources/Tidemark/Worker/WorkerIdentity.swift", line: "import Musl"),
        Exception(path: "Sources/Tidemark/Worker/WorkerIdentity.swift", line: "import Darwin"),
        // For exit and the line that says why.
        Exception(path: "Sources/Tidemark/Support/exitOnFailure.swift", line: "import Glibc"),
        Exception(path: "Sources/Tidemark/Support/exitOnFailure.swift", line: "import Musl"),
        Exception(path: "Sources/Tidemark/Support/exitOnFailure.swift", line: "import Darwin"),
      ]
    ),
  ]
}
