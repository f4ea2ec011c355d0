import ArgumentParser
import BenchmarkSupport
import CAllocationCount
import Foundation
import Tidemark

/// What it costs to look into an image, beside Foundation's decoder over the same bytes.
struct DecodeBenchmark: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "decode",
    abstract: "Images a second as a Codable type and as attribute values, on one thread."
  )

  @Option(help: "How many images are decoded.")
  var images = 100_000

  @Option(help: "How often each way decodes all of them.")
  var rounds = 5

  private struct Order: Decodable {
    var id: Int64
    var customer: String
    var status: String
    var amount: Decimal
    var note: String?
  }

  private struct Run {
    var perSecond: Double
    var allocations: Double
  }

  func run() async throws {
    let images = images(count: images)
    let decoder = JSONDecoder()
    let ways: [(name: String, decode: (Image) throws -> Bool)] = [
      ("Foundation's JSONDecoder", { try decoder.decode(Order.self, from: Data($0.bytes)).id > 0 }),
      ("image.decode(as:)", { try $0.decode(as: Order.self).id > 0 }),
      ("image.attributeValues()", { try $0.attributeValues().count > 0 }),
    ]
    var runs: [[Run]] = ways.map { _ in [] }
    for _ in 1...rounds {
      for (index, way) in ways.enumerated() { runs[index].append(try measure(images, way.decode)) }
    }
    report(ways.map(\.name), runs)
  }

  private func images(count: Int) -> [Image] {
    (1...count).map { number in
      let head =
        #"{"id":\#(number),"customer":"c-\#(number % 1000)","status":"OPEN","amount":\#(number % 977).25,"note":""#
      return Image(head + String(repeating: "x", count: max(0, 198 - head.utf8.count)) + #""}"#)
    }
  }

  private func measure(_ images: [Image], _ decode: (Image) throws -> Bool) throws -> Run {
    let allocated = tidemark_allocation_count()
    let time = try ContinuousClock().measure {
      guard try images.allSatisfy(decode) else { throw BenchmarkFailure("an image was not decoded") }
    }
    let allocations = tidemark_allocation_count() - allocated
    return Run(
      perSecond: Double(images.count) / time.seconds,
      allocations: Double(allocations) / Double(images.count)
    )
  }

  private func report(_ names: [String], _ runs: [[Run]]) {
    var report = Report(
      "Decoding \(images.grouped) images of 200 bytes with five columns; medians of \(rounds), in turns",
      "",
      "images/s",
      "of the peer",
      "allocations an image"
    )
    let peer = median(runs[0].map(\.perSecond)) ?? 1
    for (name, runs) in zip(names, runs) {
      let perSecond = median(runs.map(\.perSecond)) ?? 0
      report.add(
        name,
        Int(perSecond).grouped,
        "\((perSecond / peer).formatted(1))×",
        (median(runs.map(\.allocations)) ?? 0).formatted(1)
      )
    }
    report.print()
  }
}
