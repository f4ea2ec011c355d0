/// Which statements a session has prepared, and under what names.
struct StatementCache {
  struct Key: Hashable {
    var sql: String
    /// The same text with other types is another statement.
    var types: [PQType]
  }

  private struct Entry {
    var name: String
    var lastUse: UInt64
  }

  private let limit: Int
  private var entries: [Key: Entry] = [:]
  private var uses: UInt64 = 0
  private var names = 0
  /// Names that were dropped here and are to be dropped on the server.
  private(set) var evicted: [String] = []

  init(limit: Int) {
    self.limit = max(1, limit)
  }

  var count: Int { entries.count }

  /// The name to run the statement under, and whether it must be prepared first.
  mutating func use(_ key: Key) -> (name: String, isNew: Bool) {
    uses += 1
    if let index = entries.index(forKey: key) {
      entries.values[index].lastUse = uses
      return (entries.values[index].name, false)
    }
    if entries.count >= limit, let oldest = entries.min(by: { $0.value.lastUse < $1.value.lastUse }) {
      evict(oldest.key)
    }
    names += 1
    let name = "s\(names)"
    entries[key] = Entry(name: name, lastUse: uses)
    return (name, true)
  }

  /// Drops a statement that the server has.
  mutating func evict(_ key: Key) {
    if let entry = entries.removeValue(forKey: key) { evicted.append(entry.name) }
  }

  /// Drops a statement that the server does not have. The name makes sure that it is this one still.
  mutating func forget(_ key: Key, name: String) {
    if entries[key]?.name == name { entries[key] = nil }
    evicted.removeAll { $0 == name }
  }

  /// The server has none any more.
  mutating func forgetAll() {
    entries.removeAll()
    evicted.removeAll()
  }

  mutating func takeEvicted() -> [String] {
    defer { evicted.removeAll() }
    return evicted
  }
}
