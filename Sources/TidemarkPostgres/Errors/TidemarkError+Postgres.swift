import LibPQ
import Tidemark

extension TidemarkError {
  /// What the database has answered, or libpq instead of it, in the words of ``SQLStateMeaning``: with its message and
  /// its hint.
  ///
  /// - Parameter isWriting: whether it matters that what was asked may have been done without an answer.
  package init(_ error: PQError, of subject: DatabaseSubject, isWriting: Bool = false) {
    // libpq writes a line for each host, and beneath it, indented, a question.
    let told = error.message.split(separator: "\n").filter { !$0.hasPrefix("\t") }.joined(separator: "; ")
    if isWriting, error.isOutcomeUnknown {
      self.init(
        .outcomeUnknown,
        "\(subject.name)'s answer was lost, and what was asked may be done or not: \(told)".asSentence,
        advice: "Look whether it is done before you ask again.",
        underlying: error
      )
    } else {
      let meaning = SQLStateMeaning.of(error)
      let hint = meaning.replacesHint ? nil : error.hint
      self.init(
        meaning.code ?? subject.unavailable,
        (meaning.verb.map { "\(subject.name) \($0): \(told)" } ?? told).asSentence,
        advice: hint ?? meaning.advice,
        underlying: error
      )
      if code == .permissionDenied { advice = advice ?? PermissionAdvice.of(error, subject) }
    }
    saysUnderlying = true
  }
}
