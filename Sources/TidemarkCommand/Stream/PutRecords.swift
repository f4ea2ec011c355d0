import ArgumentParser
import Foundation
import LibPQ
import TidemarkStreams

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

  @Option(
    help: ArgumentHelp(
      "A token of this record alone: if you put it again with the same token, it is there once.",
      discussion: "The token of a line is this and the line's number, so you can put the same input again."
    )
  )
  var idempotencyToken: String?

  @OptionGroup var database: DatabaseOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if data != nil, file != nil { throw ValidationError("Give --data or --file, not both.") }
  }

  func run() async throws {
    let content = try file.map(Self.content) ?? data.map { Array($0.utf8) }
    let (count, repeated) = try await database.useStreams { database in
      guard let content else { return try await putLines(in: database) }
      let isNew = try await database.streams.put(
        content,
        partitionKey: key,
        to: name,
        idempotencyToken: idempotencyToken
      )
      return (isNew ? 1 : 0, isNew ? 0 : 1)
    }
    let known = repeated == 0 ? "" : " \(repeated) had been put before with the same idempotency token."
    try output.show(
      .object(["stream": JSON(name), "records": JSON(count), "repeated": JSON(repeated)]),
      text: "Put \(count) \(count == 1 ? "record" : "records") to \(name.printable).\(known)\n"
    )
  }

  /// Each portion of lines is one transaction: fast for a file, at once for somebody who types.
  private func putLines(in database: Database) async throws -> (new: Int, repeated: Int) {
    var count = 0
    var new = 0
    // Also where there is nothing to put, a stream that does not exist is an error.
    _ = try await database.streams.describe(name)
    for try await lines in InputLines() {
      new += try await database.pool.transaction { transaction in
        var new = 0
        for (index, line) in lines.enumerated() {
          let isNew = try await database.streams.put(
            line,
            partitionKey: key,
            to: name,
            idempotencyToken: idempotencyToken.map { "\($0):\(count + index + 1)" },
            using: transaction
          )
          if isNew { new += 1 }
        }
        return new
      }
      count += lines.count
    }
    return (new, count - new)
  }

  private static func content(of file: String) throws -> [UInt8] {
    do {
      return Array(try Data(contentsOf: URL(filePath: file)))
    } catch {
      throw CommandFailure("Cannot read \(file): \(error.localizedDescription)")
    }
  }
}
