import Foundation

/// Asks the system for a TCP port that nobody listens on.
enum FreePort {
  /// Another program may take the port before the server does; then the server's log says so.
  static func find() throws -> Int {
    #if canImport(Darwin)
    let descriptor = socket(AF_INET, SOCK_STREAM, 0)
    #else
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    #endif
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let found = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
      }
    }
    guard found else {
      throw LocalPostgresError(
        .startFailed,
        "No TCP port is free on 127.0.0.1: \(String(cString: strerror(errno)))."
      )
    }
    return Int(UInt16(bigEndian: address.sin_port))
  }
}
