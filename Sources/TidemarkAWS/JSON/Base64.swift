#if AWS
/// Base64 as the services write it: the alphabet of RFC 4648 section 4, padded, in one piece.
enum Base64 {
  private static let invalid: UInt32 = 1 << 24

  /// What each byte contributes to three decoded ones, for its four places in a group. An entry for each place saves
  /// the shifts, and one comparison for four bytes finds what is no digit.
  ///
  /// `nonisolated(unsafe)`: filled once, before anybody else can see it, and never freed.
  nonisolated(unsafe) private static let table: UnsafePointer<UInt32> = {
    let table = UnsafeMutablePointer<UInt32>.allocate(capacity: 4 * 256)
    table.initialize(repeating: invalid, count: 4 * 256)
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    for (value, digit) in alphabet.utf8.enumerated() {
      for place in 0..<4 { table[place * 256 + Int(digit)] = UInt32(value) << UInt32(18 - 6 * place) }
    }
    return UnsafePointer(table)
  }()

  /// The most bytes that this many digits stand for.
  static func decodedCount(atMost digits: Int) -> Int { digits / 4 * 3 }

  /// - Parameter output: as long as ``decodedCount(atMost:)`` at least.
  /// - Returns: how many bytes were written; `nil` if the text is no Base64.
  static func decode(_ text: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> Int? {
    guard text.count % 4 == 0 else { return nil }
    guard let input = text.baseAddress, text.count > 0 else { return 0 }
    let padding = text.last != UInt8(ascii: "=") ? 0 : text[text.count - 2] == UInt8(ascii: "=") ? 2 : 1
    let whole = padding == 0 ? text.count : text.count - 4
    precondition(output.count >= decodedCount(atMost: text.count))
    guard var written = output.baseAddress else { return nil }
    let start = UnsafeRawPointer(written)
    let table = table
    var problems: UInt32 = 0
    for offset in stride(from: 0, to: whole, by: 4) {
      let group = input.loadUnaligned(fromByteOffset: offset, as: UInt32.self).littleEndian
      let bits = bits(of: group, in: table)
      problems |= bits
      write(bits, 3, to: &written)
    }
    if padding > 0 {
      // A digit of zeros replaces each sign of padding.
      let zeros: UInt32 = padding == 1 ? 0x4100_0000 : 0x4141_0000
      let mask: UInt32 = padding == 1 ? 0x00ff_ffff : 0x0000_ffff
      let group = input.loadUnaligned(fromByteOffset: whole, as: UInt32.self).littleEndian
      let bits = bits(of: group & mask | zeros, in: table)
      problems |= bits
      write(bits, 3 - padding, to: &written)
    }
    return problems & invalid == 0 ? UnsafeRawPointer(written) - start : nil
  }

  @inline(__always)
  private static func bits(of group: UInt32, in table: UnsafePointer<UInt32>) -> UInt32 {
    table[Int(group & 0xff)] | table[256 + Int(group >> 8 & 0xff)] | table[512 + Int(group >> 16 & 0xff)]
      | table[768 + Int(group >> 24)]
  }

  @inline(__always)
  private static func write(_ bits: UInt32, _ count: Int, to output: inout UnsafeMutableRawPointer) {
    output.storeBytes(of: UInt8(truncatingIfNeeded: bits >> 16), as: UInt8.self)
    if count > 1 {
      output.storeBytes(of: UInt8(truncatingIfNeeded: bits >> 8), toByteOffset: 1, as: UInt8.self)
    }
    if count > 2 { output.storeBytes(of: UInt8(truncatingIfNeeded: bits), toByteOffset: 2, as: UInt8.self) }
    output += count
  }
}
#endif
