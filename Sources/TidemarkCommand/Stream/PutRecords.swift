import ArgumentParser
import Foundation
import PostgresClient
import TidemarkPostgres

struct PutRecords: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "put",
    abstract: "Append records to a stream.",
    discussion: """
      One record with --data or --file; otherwise one for each line of standard input, committed as they come.
      """
  )

  @Argument(help: "The stream's name.")
  var name: String

  @Option(help: "The partition key of all these records.")
  var key: String

  @Option(help: "The record's data, as text.")
  var data: String?

  @Option(help: "The file whose whole content is the record's data.", completion: .file())
  var file: String?

  @OptionGroup var database: DatabaseOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if data != nil, file != nil { throw ValidationError("Give --data or --file, not both.") }
  }

  func run() async throws {
    let content = try file.map(Self.content) ?? data.map { Array($0.utf8) }
    let count = try await database.use { database in
      guard let content else { return try await putLines(in: database) }
      try await database.streams.put(content, partitionKey: key, to: name)
      return 1
    }
    try output.show(
      .object(["stream": JSON(name), "records": JSON(count)]),
      text: "Put \(count) \(count == 1 ? "record" : "records") to \(name).\n"
    )
  }

  /// Each portion of lines is one transaction: fast for a file, at once for somebody who types.
  private func putLines(in database: Database) async throws -> Int {
    var count = 0
    // Also where there is nothing to put, a stream that does not exist is an error.
    _ = try await database.streams.describe(name)
    for try await lines in InputLines() {
      try await database.pool.transaction { transaction in
        for line in lines {
          try await database.streams.put(line, partitionKey: key, to: name, using: transaction)
        }
      }
      count += lines.count
    }
    return count
  }

  private static func content(of file: String) throws -> [UInt8] {
    do {
      return Array(try Data(contentsOf: URL(filePath: file)))
    } catch {
      throw CommandFailure("\(file) cannot be read: \(error.localizedDescription)")
    }
  }
}
