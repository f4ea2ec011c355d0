/// Something for which leases are given up only once the store knows of it and a plan was made that knew it: the plan
/// may name the worker that takes them.
struct Announcement {
  var isKnown = false
  private(set) var isPlanned = false

  var needsPlan: Bool { isKnown && !isPlanned }

  mutating func notePlan() { isPlanned = isKnown }
}
