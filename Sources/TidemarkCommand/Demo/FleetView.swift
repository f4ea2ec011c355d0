import FleetDrill
import Foundation
import Tidemark

/// What a demonstration shows while it runs: on a terminal a table that is drawn over and over, elsewhere a line
/// for each thing that happens and a table now and then.
actor FleetView {
  private let isTerminal = isatty(1) == 1
  private let start = ContinuousClock.now
  private var happenings: [String] = []
  private var title = ""

  func happened(_ what: String) {
    let seconds = String(format: "%5.1f s", start.duration(to: .now) / .seconds(1))
    happenings.append("\(seconds)  \(what)")
    if !isTerminal { print(happenings[happenings.count - 1]) }
    fflush(nil)
  }

  /// Draws the fleet; elsewhere than on a terminal only if `always`.
  func draw(_ standing: DrillFleet.Standing, unread: [String: Int], transactions: Int, always: Bool = false) {
    guard isTerminal || always else { return }
    var lines = ["SHARD                                  OWNER      EPOCH  CHECKPOINT     UNREAD"]
    for lease in standing.leases.sorted(by: { $0.shardID < $1.shardID }) {
      let owner = lease.owner.flatMap { standing.workers[$0] }?.registration.workerID
      lines.append(
        [
          pad(lease.shardID, 38), pad(owner ?? (lease.isEnded ? "–" : "nobody"), 10),
          pad("\(lease.epoch)", 6, right: true), pad(lease.checkpoint.text, 14, right: true),
          pad(lease.isEnded ? "" : "\(unread[lease.shardID] ?? 0)", 7, right: true),
        ].joined(separator: " ")
      )
    }
    if isTerminal {
      // Home, draw over what was there, clear the rest.
      let log = happenings.suffix(12).joined(separator: "\u{1B}[K\n")
      let table = lines.joined(separator: "\u{1B}[K\n")
      print(
        "\u{1B}[H\(table)\u{1B}[K\n\n\(transactions) transactions written\u{1B}[K\n\n\(log)\u{1B}[K\u{1B}[J",
        terminator: "\n"
      )
    } else {
      for line in lines { print("         " + line) }
    }
    fflush(nil)
  }

  func begin() {
    if isTerminal { print("\u{1B}[2J\u{1B}[H", terminator: "") }
  }

  private func pad(_ text: String, _ width: Int, right: Bool = false) -> String {
    let space = String(repeating: " ", count: max(0, width - text.count))
    return right ? space + text : text + space
  }
}
