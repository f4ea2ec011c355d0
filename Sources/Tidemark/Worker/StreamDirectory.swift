import Synchronization

/// Finds out which streams a worker reads, and under which names they appear in leases.
final class StreamDirectory: Sendable {
  private struct Named {
    // Kept, so that no other object can be where this one was.
    var source: any StreamSource
    var name: String
  }

  let catalog: any StreamCatalog
  private let named = Mutex<[ObjectIdentifier: Named]>([:])

  init(_ catalog: any StreamCatalog) {
    self.catalog = catalog
  }

  /// The streams as they are now, by their names.
  ///
  /// - Throws: ``TidemarkError/Code/invalidConfiguration`` if two have one name: their leases could not be told apart.
  func streams() async throws -> [String: any StreamSource] {
    var found: [String: any StreamSource] = [:]
    var objects: [ObjectIdentifier: Named] = [:]
    for source in try await catalog.streams() {
      let object = type(of: source) is AnyObject.Type ? ObjectIdentifier(source as AnyObject) : nil
      let known = object.flatMap { object in named.withLock { $0[object]?.name } }
      let name: String
      if let known { name = known } else { name = try await source.streamName() }
      if let object { objects[object] = Named(source: source, name: name) }
      guard found.updateValue(source, forKey: name) == nil else {
        throw TidemarkError(
          .invalidConfiguration,
          "Two of the application's streams are called \(name).",
          advice: "Give each stream once, and read streams of the same name under different applications."
        )
      }
    }
    named.withLock { $0 = objects }
    return found
  }
}
