import Tidemark
import TidemarkPostgres

extension DatabaseSubject {
  /// A stream, as consumers read it.
  package static let stream = Self(
    name: "The stream's database",
    unavailable: .sourceUnavailable,
    rights: "consumer",
    schema: .streams
  )
  /// A stream, as producers put records into it.
  package static let putting = Self(
    name: "The stream's database",
    unavailable: .sourceUnavailable,
    rights: "producer",
    schema: .streams
  )
  /// The write-ahead log, as it is decoded for a stream.
  package static let capture = Self(
    name: "The stream's database",
    unavailable: .sourceUnavailable,
    rights: "capturer",
    schema: .streams
  )
  /// Streams, as they are created, changed and maintained.
  package static let administration = Self(
    name: "The database",
    unavailable: .sourceUnavailable,
    rights: "administrator",
    schema: .streams
  )
}
