import ArgumentParser
import Foundation

/// This program's file, from which it starts its workers.
func ownExecutable() throws -> String {
  guard let path = Bundle.main.executablePath else {
    throw ValidationError("Cannot find this program's own file to start workers from.")
  }
  return path
}
