/// What a record of a change stream carries besides the item's keys, by DynamoDB's names.
public enum StreamViewType: String, Sendable, Hashable, CaseIterable {
  /// Nothing else.
  case keysOnly = "KEYS_ONLY"
  /// The item as it is after the change.
  case newImage = "NEW_IMAGE"
  /// The item as it was before the change.
  case oldImage = "OLD_IMAGE"
  /// Both.
  case newAndOldImages = "NEW_AND_OLD_IMAGES"
}
