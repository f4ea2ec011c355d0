import Foundation

/// A socket that listens on 127.0.0.1 and never answers.
final class SilentServer: Sendable {
  let port: UInt16
  private let descriptor: Int32

  init() throws {
    #if canImport(Glibc)
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    #else
    let descriptor = socket(AF_INET, SOCK_STREAM, 0)
    #endif
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let result = withUnsafeMutableBytes(of: &address) { bytes in
      bytes.withMemoryRebound(to: sockaddr.self) { address in
        bind(descriptor, address.baseAddress, length) + listen(descriptor, 8)
          + getsockname(descriptor, address.baseAddress, &length)
      }
    }
    self.descriptor = descriptor
    port = UInt16(bigEndian: address.sin_port)
    if result != 0 { throw CocoaError(.fileReadUnknown) }
  }

  /// Whether somebody has connected.
  var hasClient: Bool {
    var connections = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return poll(&connections, 1, 0) == 1
  }

  deinit {
    close(descriptor)
  }
}
