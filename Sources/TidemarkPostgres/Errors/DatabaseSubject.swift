import Tidemark

/// What is asked of a database, as its errors name it.
package struct DatabaseSubject: Sendable {
  /// The beginning of a sentence.
  var name: String
  /// The code of what passes by itself.
  var unavailable: TidemarkError.Code
  /// The rights of `tidemark grant` that whoever asks this needs; `nil` if only the schema's owner may.
  var rights: String?

  /// The leases, as workers keep them.
  package static let leaseStore = Self(
    name: "The lease store",
    unavailable: .storeUnavailable,
    rights: "consumer"
  )
  /// A stream, as consumers read it.
  package static let stream = Self(
    name: "The stream's database",
    unavailable: .sourceUnavailable,
    rights: "consumer"
  )
  /// A stream, as producers put records into it.
  package static let putting = Self(
    name: "The stream's database",
    unavailable: .sourceUnavailable,
    rights: "producer"
  )
  /// The write-ahead log, as it is decoded for a stream.
  package static let capture = Self(
    name: "The stream's database",
    unavailable: .sourceUnavailable,
    rights: "capturer"
  )
  /// Streams, as they are created, changed and looked after.
  package static let administration = Self(
    name: "The database",
    unavailable: .sourceUnavailable,
    rights: "administrator"
  )
  /// The schema `tidemark` itself.
  package static let schema = Self(name: "The database", unavailable: .sourceUnavailable)
}
