#if AWS
import Tidemark

extension JSONScanner {
  /// Where the digits of a sequence number lie, which both services write as text.
  mutating func sequenceNumber() throws(Failure) -> Range<Int> {
    let range = try string().range
    guard !range.isEmpty, raw(range).allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }) else {
      throw Failure(reason: "This is no sequence number.", offset: range.lowerBound)
    }
    return range
  }
}
#endif
