import Foundation

/// The user that the server runs as: the current one, or an unprivileged one if that is root, whom
/// PostgreSQL refuses.
struct ServerUser {
  private struct Account {
    var name: String
    var user: uid_t
    var group: gid_t
  }

  private var account: Account?

  static func current() throws -> ServerUser {
    guard geteuid() == 0 else { return ServerUser(account: nil) }
    guard let account = ["postgres", "nobody"].lazy.compactMap(Self.account(named:)).first else {
      throw LocalPostgresError(
        .privilegesNotDroppable,
        "PostgreSQL refuses to run as root, and there is no other user to run it as.",
        advice: "Create a user named postgres, or run this program as an ordinary user."
      )
    }
    return ServerUser(account: account)
  }

  var id: uid_t { account?.user ?? geteuid() }

  /// Where this user can have temporary files. Root's own place may be closed to others.
  var temporaryDirectory: String {
    account == nil ? FileManager.default.temporaryDirectory.path(percentEncoded: false) : "/tmp"
  }

  /// The command, run as this user.
  func command(_ command: [String]) throws -> [String] {
    guard let account else { return command }
    let directories = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"]
    func find(_ name: String) -> String? {
      directories.map { "\($0)/\(name)" }.first(where: FileManager.default.isExecutableFile(atPath:))
    }
    if let setpriv = find("setpriv") {
      return [setpriv, "--reuid=\(account.user)", "--regid=\(account.group)", "--init-groups", "--"] + command
    }
    if let runuser = find("runuser") {
      return [runuser, "-u", account.name, "--"] + command
    }
    throw LocalPostgresError(
      .privilegesNotDroppable,
      "PostgreSQL refuses to run as root, and neither setpriv nor runuser is there.",
      advice: "Install util-linux, or run this program as an ordinary user."
    )
  }

  /// Gives a file or directory to this user, but not what a symbolic link leads to.
  func own(_ path: String) throws {
    guard let account, lchown(path, account.user, account.group) != 0 else { return }
    throw LocalPostgresError(
      .directoryUnusable,
      "Cannot give \(path) to \(account.name): \(String(cString: strerror(errno)))."
    )
  }

  private static func account(named name: String) -> Account? {
    var entry = passwd()
    var result: UnsafeMutablePointer<passwd>?
    var buffer = [CChar](repeating: 0, count: 16_384)
    guard getpwnam_r(name, &entry, &buffer, buffer.count, &result) == 0, result != nil else { return nil }
    return Account(name: name, user: entry.pw_uid, group: entry.pw_gid)
  }
}
