import LibPQ
import Tidemark

/// How texts of a user's are written to the database, whatever its encoding is.
enum StoredText {
  case unicode
  /// What is not ASCII as an escape, which JSON reads as the same.
  case ascii

  func of(_ text: String) -> String {
    // PostgreSQL's text has no NUL.
    let text = text.replacing("\0", with: "\u{FFFD}")
    return self == .ascii ? JSONEscapes.ascii(text) : text
  }
}

extension PostgresLeaseStore {
  /// Writes texts as they are, or with escapes if the database's encoding lacks one of their characters: nothing may keep a
  /// record from the dead-letter queue.
  static func writingText<Value>(_ write: (StoredText) async throws -> Value) async throws -> Value {
    do {
      return try await write(.unicode)
    } catch let error as TidemarkError where (error.underlying as? PQError)?.isUntranslatable == true {
      return try await write(.ascii)
    }
  }
}
