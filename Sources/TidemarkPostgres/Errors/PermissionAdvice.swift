import LibPQ

/// What gives a role the right that it lacks, as one sentence that names both.
enum PermissionAdvice {
  static func of(_ error: PQError, _ subject: DatabaseSubject) -> String {
    let role = error.user ?? "ROLE"
    let message = error.message
    if message.hasPrefix("must be owner of ") {
      return
        "Run this as that owner, as a role that belongs to it, or as a superuser; \(role) is none of them."
    }
    if let match = message.firstMatch(of: /denied for database (?:"([^"]+)"|(\S+))/) {
      // A session begins with one of these rights, and a schema is created with the other.
      let right = error.code == .connectionFailed ? "CONNECT" : "CREATE"
      let database = match.1 ?? match.2 ?? ""
      return "Run as the database's owner: GRANT \(right) ON DATABASE \(quoted(database)) TO \(quoted(role))."
    }
    if message.contains(/replication (slot|role)|wal ?sender/.ignoresCase()) {
      return "Run as a superuser: ALTER ROLE \(quoted(role)) REPLICATION."
    }
    if let table = message.firstMatch(of: /(?:table|view|sequence) "?([^" ]+)"?$/)?.1, !isOurs(table) {
      return "The owner of \(table) has to grant \(quoted(role)) this right on it."
    }
    guard let rights = subject.rights else {
      return "Run this as the schema's owner, or as a superuser; \(role) is neither."
    }
    let grant = "Run as the schema's owner: tidemark grant \(rights) \(shellWord(role))"
    // The role has rights, but not to this application on this stream.
    return message.contains("row-level security")
      ? grant + " --application APPLICATION --stream STREAM" : grant
  }

  /// Whether the schema has, or may have, a table of this name. A message names it without its schema.
  static func isOurs(_ table: some StringProtocol) -> Bool {
    let names =
      /(migration|history|access|presence|adding|worker|worker_stream|dead_letter|dead_letter_count|plan_turn|shard|step|jump|put_token|expiry_run|conditions_look|maintenance_turn|own_capture|watch_turn)/
    let families = /(lease|stream|bell|log|inbox|turn|snapshot|logical|capture|visible)(_[a-z0-9_]+)?/
    let name = String(table)
    return name.wholeMatch(of: names) != nil || name.wholeMatch(of: families) != nil
  }

  private static func quoted(_ name: some StringProtocol) -> String {
    "\"\(String(name).replacing("\"", with: "\"\""))\""
  }

  private static func shellWord(_ name: String) -> String {
    let isPlain = name.wholeMatch(of: /[A-Za-z0-9_.@%+=:,\/-]+/) != nil
    return isPlain ? name : "'\(name.replacing("'", with: #"'\''"#))'"
  }
}
