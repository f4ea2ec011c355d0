import ArgumentParser
import TidemarkStreams

/// What commands that name an expiry column have in common.
enum ExpiryColumn {
  static let help = ArgumentHelp(
    """
    The column that says when a row expires and is deleted: a timestamptz, timestamp or date (UTC), or a number of \
    seconds since 1970.
    """,
    valueName: "column"
  )

  /// Tells the person at the terminal of a missing index.
  static func advise(about stream: PostgresStreamDescription) {
    guard let column = stream.settings.expiryColumn, let table = stream.table, !stream.hasExpiryIndex else {
      return
    }
    let quoted = "\"\(column.replacing("\"", with: "\"\""))\""
    Terminal.note(
      "every look for expired rows reads the whole table, since the expiry column has no index: "
        + "CREATE INDEX CONCURRENTLY ON \(table) (\(quoted))"
    )
  }
}
