import ArgumentParser

/// Which stream a command is about, and where it is: `orders`, `postgres:orders`, `dynamodb:Orders`.
enum StreamLocator: ExpressibleByArgument, Equatable {
  /// By its short or its full name.
  case postgres(String)
  /// By its table's name or ARN, or by its own ARN.
  case dynamoDB(String)

  static let help = "The stream's name, or dynamodb:TABLE, where TABLE may be an ARN."

  /// A full name has colons of its own, so what is before one need not be a place.
  init?(argument: String) {
    if let name = argument.after("dynamodb:") {
      self = .dynamoDB(name)
    } else {
      self = .postgres(argument.after("postgres:") ?? argument)
    }
    if name.isEmpty { return nil }
  }

  private var name: String {
    switch self {
    case .postgres(let name), .dynamoDB(let name): name
    }
  }
}

extension String {
  fileprivate func after(_ prefix: String) -> String? {
    hasPrefix(prefix) ? String(dropFirst(prefix.count)) : nil
  }
}
