import Tidemark

/// What is asked of a database, as its errors name it.
package struct DatabaseSubject: Sendable {
  /// The beginning of a sentence.
  var name: String
  /// The code of what passes by itself.
  var unavailable: TidemarkError.Code
  /// The rights of `tidemark grant` that whoever asks this needs; `nil` if only the schema's owner may.
  var rights: String?
  /// What it is kept in; `nil` if that is what is asked for.
  var schema: TidemarkSchema?

  package init(
    name: String,
    unavailable: TidemarkError.Code,
    rights: String? = nil,
    schema: TidemarkSchema? = nil
  ) {
    self.name = name
    self.unavailable = unavailable
    self.rights = rights
    self.schema = schema
  }

  /// The leases, as workers keep them.
  package static let leaseStore = Self(
    name: "The lease store",
    unavailable: .storeUnavailable,
    rights: "consumer",
    schema: .leases
  )
  /// A schema itself.
  package static let schema = Self(name: "The database", unavailable: .sourceUnavailable)
}
