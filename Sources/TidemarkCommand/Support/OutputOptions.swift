import ArgumentParser

/// How a command prints what it has to say.
struct OutputOptions: ParsableArguments {
  @Flag(help: "Print JSON instead of text.")
  var json = false

  func show(_ json: @autoclosure () -> JSON, text: @autoclosure () -> String) {
    if self.json {
      print(json().document)
    } else {
      print(text(), terminator: "")
    }
  }

  /// - Parameter empty: what to say instead of a table without rows.
  func show(_ json: @autoclosure () -> JSON, table: @autoclosure () -> Table, empty: String) {
    show(
      json(),
      text: {
        let table = table()
        return table.isEmpty ? empty + "\n" : table.text
      }()
    )
  }
}
