#if AWS
import Tidemark

/// Where a new iterator has to begin. The service knows `AT_SEQUENCE_NUMBER` as well, which nobody here needs.
enum IteratorStart: Sendable, Equatable {
  case trimHorizon
  case latest
  case after(SequenceNumber)

  var type: String {
    switch self {
    case .trimHorizon: "TRIM_HORIZON"
    case .latest: "LATEST"
    case .after: "AFTER_SEQUENCE_NUMBER"
    }
  }

  var sequenceNumber: SequenceNumber? {
    if case .after(let number) = self { number } else { nil }
  }
}
#endif
