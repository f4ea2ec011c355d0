import Tidemark
import TidemarkTestKit

/// The run as one number, and on request as text: two runs with the same number have done the same.
struct History {
  private(set) var hash: UInt64 = 0xcbf2_9ce4_8422_2325
  /// Prints each line.
  var isTraced = false

  mutating func add(_ line: @autoclosure () -> String, at time: Duration) {
    let line = "\(time / .seconds(1)) \(line())"
    for byte in line.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
    if isTraced { print(line) }
  }
}
