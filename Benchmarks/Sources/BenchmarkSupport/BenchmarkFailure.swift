/// A benchmark that did not do what it measures.
package struct BenchmarkFailure: Error, CustomStringConvertible {
  package var description: String

  package init(_ description: String) { self.description = description }
}
