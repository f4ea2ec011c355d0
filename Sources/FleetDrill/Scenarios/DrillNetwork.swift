import Foundation

/// A network in which each worker has a host of its own, whose cable can be pulled: a bridge that the server
/// listens on, and network namespaces that are connected to it.
///
/// Needs Linux, root, and `ip` of iproute2. `@unchecked Sendable`: its state is used by one drill at a time.
final class DrillNetwork: @unchecked Sendable {
  /// The server's.
  let address: String

  /// Network interfaces' names have 15 characters at most.
  private static let bridge = "tmd\(ProcessInfo.processInfo.processIdentifier)"
  private let subnet: String
  private var hosts: [String: Int] = [:]

  /// Why there can be none here; `nil` if there can.
  static func obstacle() -> String? {
    guard ip != nil else {
      return "the network can only be cut with ip, of the package iproute2, which is missing"
    }
    guard geteuid() == 0 else { return "the network can only be cut by root" }
    do {
      try run(["link add \(bridge) type bridge", "link del \(bridge)"])
      try run(["netns add \(bridge)", "netns del \(bridge)"])
      return nil
    } catch {
      return "network namespaces are not allowed here: \(error)"
    }
  }

  /// In a range that is set aside for such benchmarks (RFC 2544), so no route of the machine leads there.
  init() throws {
    subnet = "198.18.\(ProcessInfo.processInfo.processIdentifier % 256)"
    address = "\(subnet).1"
    try Self.run([
      "link add \(Self.bridge) type bridge", "addr add \(address)/24 dev \(Self.bridge)",
      "link set \(Self.bridge) up",
    ])
  }

  /// - Returns: the command that starts what is put after it on the new host.
  func addHost(_ name: String) throws -> [String] {
    let number = hosts.count + 1
    hosts[name] = number
    let (namespace, cable) = ("\(Self.bridge)-\(number)", cable(number))
    try Self.run([
      "netns add \(namespace)", "link add \(cable) type veth peer name eth0 netns \(namespace)",
      "link set \(cable) master \(Self.bridge) up",
    ])
    try Self.run(
      ["addr add \(subnet).\(number + 1)/24 dev eth0", "link set eth0 up", "link set lo up"],
      in: namespace
    )
    return [Self.ip ?? "ip", "netns", "exec", namespace]
  }

  /// From now on what either side sends is lost, and neither hears of it.
  func cut(host name: String) throws {
    guard let number = hosts[name] else { return }
    try Self.run(["link set \(cable(number)) nomaster"])
  }

  /// Takes everything down; what still runs on a host stays without a network.
  func remove() {
    // Whatever fails here is gone already.
    for number in hosts.values { try? Self.run(["netns del \(Self.bridge)-\(number)"]) }
    for number in hosts.values { try? Self.run(["link del \(cable(number))"]) }
    try? Self.run(["link del \(Self.bridge)"])
  }

  private func cable(_ number: Int) -> String { "\(Self.bridge)-\(number)" }

  // MARK: ip

  private static let ip = ["/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip", "/bin/ip"].first {
    FileManager.default.isExecutableFile(atPath: $0)
  }

  private struct Refusal: Error, CustomStringConvertible {
    var description: String
  }

  private static func run(_ commands: [String], in namespace: String? = nil) throws {
    let process = Process()
    let (input, errors) = (Pipe(), Pipe())
    process.executableURL = URL(fileURLWithPath: ip ?? "ip")
    process.arguments = (namespace.map { ["-netns", $0] } ?? []) + ["-batch", "-"]
    process.standardInput = input
    process.standardError = errors
    try process.run()
    try input.fileHandleForWriting.write(contentsOf: Data(commands.map { $0 + "\n" }.joined().utf8))
    try input.fileHandleForWriting.close()
    let said = try errors.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      let lines = String(decoding: said, as: UTF8.self).split(separator: "\n")
      throw Refusal(description: lines.first.map(String.init) ?? "ip ended with \(process.terminationStatus)")
    }
  }
}
