extension SQLMutant {
  static let all: [SQLMutant] =
    leasing + rights + capturing + numbering + shards + keeping + snapshots + decoding + life
}
