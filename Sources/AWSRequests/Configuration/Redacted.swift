#if AWS
/// What holds secrets among other things, and shows nothing of itself but its name, to a debugger's mirror neither.
protocol Redacted: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {}

extension Redacted {
  var description: String { "\(Self.self)(…)" }
  var debugDescription: String { description }
  var customMirror: Mirror { Mirror(self, children: []) }
}

extension AWSProfiles: Redacted {}
extension AWSProfiles.Profile: Redacted {}
extension INIFile: Redacted {}
extension INIFile.Value: Redacted {}
extension CredentialsDocument: Redacted {}
extension HTTPCall: Redacted {}
extension HTTPAnswer: Redacted {}

extension AWSEnvironment: CustomStringConvertible, CustomReflectable {
  public var description: String { "AWSEnvironment(…)" }
  public var customMirror: Mirror { Mirror(self, children: []) }
}

extension AWSEnvironment.CommandResult: CustomStringConvertible, CustomReflectable {
  public var description: String { "CommandResult(exitCode: \(exitCode))" }
  public var customMirror: Mirror { Mirror(self, children: ["exitCode": exitCode]) }
}
#endif
