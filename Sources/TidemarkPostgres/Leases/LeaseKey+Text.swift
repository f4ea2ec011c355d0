import Tidemark

extension LeaseKey {
  /// As one text. No stream's name has the character that parts the two.
  var stored: String { "\(stream)\u{1f}\(shardID)" }

  init(stored: String) {
    let parts = stored.split(separator: "\u{1f}", maxSplits: 1, omittingEmptySubsequences: false)
    self.init(stream: String(parts[0]), shardID: parts.count > 1 ? String(parts[1]) : "")
  }
}
