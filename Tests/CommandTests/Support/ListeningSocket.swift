import Foundation

/// A unix socket where PostgreSQL's would be, which never answers.
final class ListeningSocket {
  private let descriptor: Int32

  init(directory: String) throws {
    #if canImport(Glibc)
    descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    #else
    descriptor = socket(AF_UNIX, SOCK_STREAM, 0)
    #endif
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let path = Array("\(directory)/.s.PGSQL.5432".utf8CString)
    withUnsafeMutableBytes(of: &address.sun_path) { place in
      path.withUnsafeBytes {
        place.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0.prefix(place.count - 1)))
      }
    }
    let result = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) + listen(descriptor, 8)
      }
    }
    if result != 0 { throw CocoaError(.fileWriteUnknown) }
  }

  deinit { close(descriptor) }

  /// What each has sent that connected and has gone.
  func received() throws -> [[UInt8]] {
    var received: [[UInt8]] = []
    _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
    while true {
      let client = accept(descriptor, nil, nil)
      if client < 0 { return received }
      defer { close(client) }
      let bytes = try FileHandle(fileDescriptor: client, closeOnDealloc: false).readToEnd() ?? Data()
      received.append(Array(bytes))
    }
  }
}
