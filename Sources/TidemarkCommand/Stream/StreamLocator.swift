import ArgumentParser

/// Which stream a command is about, and where it is: `orders`, `postgres:orders`, `dynamodb:Orders`, `kinesis:clicks`.
enum StreamLocator: ExpressibleByArgument, Equatable {
  /// By its short or its full name.
  case postgres(String)
  /// By its table's name or ARN, or by its own ARN.
  case dynamoDB(String)
  /// By its name or ARN.
  case kinesis(String)

  static let help = "The stream's name, or dynamodb:TABLE or kinesis:NAME, where TABLE and NAME may be ARNs."

  /// A full name has colons of its own, so what is before one need not be a place.
  init?(argument: String) {
    if let name = argument.after("dynamodb:") {
      self = .dynamoDB(name)
    } else if let name = argument.after("kinesis:") {
      self = .kinesis(name)
    } else {
      self = .postgres(argument.after("postgres:") ?? argument)
    }
    if name.isEmpty { return nil }
  }

  private var name: String {
    switch self {
    case .postgres(let name), .dynamoDB(let name), .kinesis(let name): name
    }
  }
}

extension String {
  fileprivate func after(_ prefix: String) -> String? {
    hasPrefix(prefix) ? String(dropFirst(prefix.count)) : nil
  }
}
