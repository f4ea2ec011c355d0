import ArgumentParser

/// How a command prints what it has to say.
struct OutputOptions: ParsableArguments {
  @Flag(help: "Print JSON instead of text.")
  var json = false

  func show(_ json: @autoclosure () -> JSON, text: @autoclosure () -> String) throws {
    try Terminal.write(self.json ? json().document + "\n" : text())
  }

  /// - Parameter empty: what to say instead of a table without rows.
  func show(_ json: @autoclosure () -> JSON, table: @autoclosure () -> Table, empty: String) throws {
    try show(
      json(),
      text: {
        let table = table()
        return table.isEmpty ? empty + "\n" : table.text
      }()
    )
  }
}
