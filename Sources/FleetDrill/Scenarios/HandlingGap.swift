/// How long nobody handled records of a shard although there were some.
enum HandlingGap {
  /// The longest time between the handling of two records that follow each other in one of `shards`, less the time
  /// between their being written: what the readers added to the writers' own pauses.
  ///
  /// Looked at is every pair whose second record was handled after `moment`.
  static func longest(in shards: [String], since moment: Int64, _ history: [HistoryEntry]) -> Duration {
    var last: [String: (at: Int64, written: Int64)] = [:]
    var longest: Int64 = 0
    for entry in history where entry.kind == .handled && shards.contains(entry.shard) {
      guard let written = entry.written else { continue }
      if let before = last[entry.shard], entry.at >= moment {
        longest = max(longest, entry.at - before.at - max(0, written - before.written))
      }
      last[entry.shard] = (entry.at, written)
    }
    return .microseconds(longest)
  }
}
