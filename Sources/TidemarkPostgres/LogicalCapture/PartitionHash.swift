/// Where a partition key belongs among a stream's shards: the first 32 bits of its MD5.
///
/// The server can do that, too, and where captures by trigger are sequenced it does. Here it is a quarter of the rate:
/// 122,000 records/s of transactions of a hundred with this, 93,000 without (`StreamBenchmarks logical`). It is written
/// out because a library of cryptography is more than a product that only talks to PostgreSQL should bring along. No
/// secret depends on it, and a test compares it with the server's.
enum PartitionHash {
  static func of(_ key: UnsafeRawBufferPointer) -> UInt32 {
    var sum = Sum()
    let whole = key.count & ~63
    for offset in stride(from: 0, to: whole, by: 64) {
      sum.add(UnsafeRawBufferPointer(rebasing: key[offset..<(offset + 64)]))
    }
    let rest = key.count - whole
    // A one, zeros, and the length in bits, up to the end of a block.
    let padded = rest < 56 ? 64 : 128
    withUnsafeTemporaryAllocation(byteCount: padded, alignment: 8) { tail in
      tail.initializeMemory(as: UInt8.self, repeating: 0)
      tail.copyBytes(from: key[whole...])
      tail[rest] = 0x80
      tail.storeBytes(of: (UInt64(key.count) * 8).littleEndian, toByteOffset: padded - 8, as: UInt64.self)
      for offset in stride(from: 0, to: padded, by: 64) {
        sum.add(UnsafeRawBufferPointer(rebasing: tail[offset..<(offset + 64)]))
      }
    }
    return sum.a.byteSwapped
  }

  /// RFC 1321.
  private struct Sum {
    var a: UInt32 = 0x6745_2301
    var b: UInt32 = 0xefcd_ab89
    var c: UInt32 = 0x98ba_dcfe
    var d: UInt32 = 0x1032_5476

    mutating func add(_ block: UnsafeRawBufferPointer) {
      let before = self
      for round in 0..<64 {
        let (mixed, word) = mix(round)
        let input = UInt32(littleEndian: block.loadUnaligned(fromByteOffset: word * 4, as: UInt32.self))
        let added = a &+ mixed &+ PartitionHash.constants[round] &+ input
        let shift = PartitionHash.shifts[(round >> 4) * 4 + (round & 3)]
        (a, d, c, b) = (d, c, b, b &+ (added << shift | added >> (32 - shift)))
      }
      a &+= before.a
      b &+= before.b
      c &+= before.c
      d &+= before.d
    }

    /// What a round mixes in of the sum, and the word of the block that it takes.
    private func mix(_ round: Int) -> (UInt32, word: Int) {
      switch round >> 4 {
      case 0: (b & c | ~b & d, round)
      case 1: (d & b | ~d & c, (5 * round + 1) & 15)
      case 2: (b ^ c ^ d, (3 * round + 5) & 15)
      default: (c ^ (b | ~d), 7 * round & 15)
      }
    }
  }

  private static let shifts: [UInt32] = [7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21]
  private static let constants: [UInt32] = [
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
  ]
}
