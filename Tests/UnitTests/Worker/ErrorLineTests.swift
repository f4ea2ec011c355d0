import Testing

@testable import Tidemark

@Suite("The line that a program ends with")
struct ErrorLineTests {
  @Test("says what happened and what to do, and nothing else")
  func line() {
    struct Cause: Error {}
    var error = TidemarkError(.streamNotFound, "there is no stream \"orders\"", underlying: Cause())
    #expect(oneLine(error) == "there is no stream \"orders\".")
    error.advice = "Enable\none."
    #expect(oneLine(error) == "there is no stream \"orders\". Enable one.")
    #expect(oneLine(Cause()) == "Cause()")
  }

  @Test("in a log an error has its code, and the cause unless the message tells that")
  func description() {
    struct Cause: Error {}
    var error = TidemarkError(.readOnly, "it takes no writes", advice: "Wait.", underlying: Cause())
    #expect("\(error)" == "readOnly: it takes no writes. Wait. (Cause())")
    error.saysUnderlying = true
    #expect("\(error)" == "readOnly: it takes no writes. Wait.")
  }
}
