/// Base64 with the alphabet of RFC 4648 section 4, padded, in one piece: as DynamoDB's JSON has bytes, and AWS its records.
package enum Base64 {
  private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
  private static let invalid: UInt32 = 1 << 24

  /// What each byte contributes to three decoded ones, for its four places in a group. An entry for each place saves
  /// the shifts, and one comparison for four bytes finds what is no digit.
  ///
  /// `nonisolated(unsafe)`: filled once, before anybody else can see it, and never freed.
  nonisolated(unsafe) private static let table: UnsafePointer<UInt32> = {
    let table = UnsafeMutablePointer<UInt32>.allocate(capacity: 4 * 256)
    table.initialize(repeating: invalid, count: 4 * 256)
    for (value, digit) in alphabet.enumerated() {
      for place in 0..<4 { table[place * 256 + Int(digit)] = UInt32(value) << UInt32(18 - 6 * place) }
    }
    return UnsafePointer(table)
  }()

  package static func encode(_ bytes: [UInt8]) -> String {
    var text: [UInt8] = []
    text.reserveCapacity((bytes.count + 2) / 3 * 4)
    for start in stride(from: 0, to: bytes.count, by: 3) {
      let group = bytes[start..<min(start + 3, bytes.count)]
      let bits = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
      for place in 0..<4 {
        text.append(place <= group.count ? alphabet[bits >> (18 - 6 * place) & 63] : UInt8(ascii: "="))
      }
    }
    return String(decoding: text, as: UTF8.self)
  }

  /// - Returns: `nil` if the text is no Base64.
  package static func decode(_ text: String) -> [UInt8]? {
    let text = Array(text.utf8)
    var isValid = false
    let bytes = [UInt8](unsafeUninitializedCapacity: decodedCount(atMost: text.count)) { output, count in
      let written = text.withUnsafeBytes { decode($0, into: UnsafeMutableRawBufferPointer(output)) }
      isValid = written != nil
      count = written ?? 0
    }
    return isValid ? bytes : nil
  }

  /// The most bytes that this many digits stand for.
  package static func decodedCount(atMost digits: Int) -> Int { digits / 4 * 3 }

  /// - Parameter output: as long as ``decodedCount(atMost:)`` at least.
  /// - Returns: how many bytes were written; `nil` if the text is no Base64.
  package static func decode(_ text: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer)
    -> Int?
  {
    guard text.count % 4 == 0 else { return nil }
    guard let input = text.baseAddress, text.count > 0 else { return 0 }
    let padding = text.last != UInt8(ascii: "=") ? 0 : text[text.count - 2] == UInt8(ascii: "=") ? 2 : 1
    let whole = padding == 0 ? text.count : text.count - 4
    guard output.count >= decodedCount(atMost: text.count), var written = output.baseAddress else {
      return nil
    }
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
