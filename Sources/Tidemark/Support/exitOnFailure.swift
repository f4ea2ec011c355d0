#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Runs a program, and ends it with exit code 1 and one line on standard error if that throws: what happened, and what to
/// do about it.
///
/// An error that leaves a program's `main` ends it as well, but as a crash with a backtrace.
///
/// ```swift
/// await exitOnFailure {
///   try await worker.run()
/// }
/// ```
nonisolated(nonsending) public func exitOnFailure(_ program: () async throws -> Void) async {
  do {
    try await program()
  } catch {
    let line = "error: \(oneLine(error))\n"
    _ = line.withCString { write(STDERR_FILENO, $0, strlen($0)) }
    exit(1)
  }
}

func oneLine(_ error: any Error) -> String {
  guard let error = error as? TidemarkError else { return "\(error)".replacing("\n", with: " ") }
  let text = [error.message.asSentence, error.advice].compactMap { $0 }.joined(separator: " ")
  return text.replacing("\n", with: " ")
}
