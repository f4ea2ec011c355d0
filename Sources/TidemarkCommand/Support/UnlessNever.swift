import ArgumentParser

/// An argument that may also be the word "never".
struct UnlessNever<Value: ExpressibleByArgument & Sendable>: ExpressibleByArgument, Sendable {
  /// `nil`: never.
  var value: Value?

  init?(argument: String) {
    if argument == "never" { return }
    guard let value = Value(argument: argument) else { return nil }
    self.value = value
  }
}
