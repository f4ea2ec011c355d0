import TestSupport
import Testing
import Tidemark

@testable import TidemarkCommand

@Suite("The order in which shards are read", .sharesMachine)
struct LineageOrderTests {
  private func shard(_ id: String, of parents: String..., closed: Bool = false) -> Shard {
    Shard(id: id, parentIDs: parents, endingSequenceNumber: closed ? 1 : nil)
  }

  @Test("The child of a merge starts when both its parents have ended")
  func merge() {
    let shards = [shard("a", closed: true), shard("b", closed: true), shard("c", of: "a", "b")]
    var order = LineageOrder(shards, skipsClosed: false)
    #expect(order.start().map(\.id) == ["a", "b"])
    order.end("a", listed: shards)
    #expect(order.start().isEmpty && !order.isOver)
    order.end("b", listed: shards)
    #expect(order.start().map(\.id) == ["c"])
    order.end("c", listed: shards)
    #expect(order.start().isEmpty && order.isOver)
  }

  @Test("A parent that is listed no more holds up nobody, one that is not read yet does")
  func trimmed() {
    var order = LineageOrder([shard("b", of: "a"), shard("c", of: "b")], skipsClosed: false)
    #expect(order.start().map(\.id) == ["b"])
    #expect(order.start().isEmpty)
  }

  @Test("Skipping closed shards starts with the open ones, and goes on with their children")
  func latest() {
    let first = [shard("a", closed: true), shard("b", of: "a")]
    var order = LineageOrder(first, skipsClosed: true)
    #expect(order.start().map(\.id) == ["b"])
    let later = [first[0], shard("b", of: "a", closed: true), shard("c", of: "b")]
    order.end("b", listed: later)
    #expect(order.start().map(\.id) == ["c"])
    #expect(order.wasThereFirst("b") && !order.wasThereFirst("c"))
  }

  @Test("The children of a shard that was left before its end never start")
  func left() {
    var order = LineageOrder([shard("a"), shard("b", closed: true)], skipsClosed: false)
    #expect(order.start().map(\.id) == ["a", "b"])
    order.leave("a")
    order.end("b", listed: [shard("a", closed: true), shard("c", of: "a", "b")])
    #expect(order.start().isEmpty && order.isOver)
  }
}
