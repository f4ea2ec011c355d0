/// What a store did and should not have done.
public struct ConformanceFailure: Error, CustomStringConvertible {
  public var message: String
  public var file: String
  public var line: Int

  public var description: String { "\(message) (\(file):\(line))" }
}

func expect(
  _ condition: Bool,
  _ message: @autoclosure () -> String,
  file: String = #fileID,
  line: Int = #line
) throws {
  if !condition { throw ConformanceFailure(message: message(), file: file, line: line) }
}

func expectEqual<Value: Equatable>(
  _ actual: Value,
  _ expected: Value,
  _ what: @autoclosure () -> String,
  file: String = #fileID,
  line: Int = #line
) throws {
  try expect(actual == expected, "\(what()): \(actual) instead of \(expected).", file: file, line: line)
}

func unwrap<Value>(
  _ value: Value?,
  _ what: @autoclosure () -> String,
  file: String = #fileID,
  line: Int = #line
) throws -> Value {
  guard let value else {
    throw ConformanceFailure(message: "\(what()): nothing.", file: file, line: line)
  }
  return value
}
