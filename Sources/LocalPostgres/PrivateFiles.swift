import Foundation

/// Files and directories that nobody but this user can have made, can change, or can lead elsewhere.
package enum PrivateFiles {
  /// Makes a directory under a name that nobody can guess.
  ///
  /// - Parameter permissions: more than 0700 where another user has to get to something beneath.
  package static func makeTemporaryDirectory(
    _ name: String,
    in parent: String = FileManager.default.temporaryDirectory.path(percentEncoded: false),
    permissions: mode_t = 0o700
  ) throws -> String {
    // mkdtemp(3) writes the name into what it is given.
    var template = Array("\(parent.hasSuffix("/") ? parent : parent + "/")\(name)-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw unusable(parent) }
    let path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    if permissions != 0o700, chmod(path, permissions) != 0 { throw unusable(path) }
    return path
  }

  /// Makes a directory, and those above it, where they are missing.
  ///
  /// - Parameters:
  ///   - path: absolute.
  ///   - permissions: of the directories that are made.
  ///   - owners: whom it may belong to if it is there already.
  /// - Throws: ``LocalPostgresError`` `directoryUnusable` for one that others have made, can change, or can replace.
  package static func makeDirectory(
    _ path: String,
    permissions: mode_t = 0o700,
    owners: [uid_t] = [geteuid()]
  ) throws {
    let names = path.split(separator: "/")
    var place = ""
    for (number, name) in names.enumerated() {
      place += "/\(name)"
      if lstat(place) == nil { try make(place, permissions) }
      if number == names.count - 1 {
        try check(place, owners)
      } else {
        try check(place, above: path, owners)
      }
    }
  }

  private static func make(_ directory: String, _ permissions: mode_t) throws {
    guard mkdir(directory, permissions) == 0 else {
      // Somebody else was faster; the next lines check whose it is.
      if errno == EEXIST { return }
      throw unusable(directory)
    }
    // Again, for the process may take some from all that it makes.
    if chmod(directory, permissions) != 0 { throw unusable(directory) }
  }

  /// Opens a file, which is made for this user alone if it is missing. A symbolic link is refused.
  ///
  /// - Parameter flags: those of `open(2)`.
  package static func open(_ path: String, _ flags: Int32) throws -> FileHandle {
    let descriptor = Foundation.open(path, flags | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw unusable(path) }
    return FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
  }

  private static func lstat(_ path: String) -> stat? {
    var found = stat()
    return Foundation.lstat(path, &found) == 0 ? found : nil
  }

  private static func check(_ directory: String, _ owners: [uid_t]) throws {
    guard let found = lstat(directory) else { throw unusable(directory) }
    switch found.st_mode & S_IFMT {
    case S_IFDIR: break
    case S_IFLNK: throw refused(directory, "is a symbolic link", "Name the directory that it leads to.")
    default: throw refused(directory, "is no directory", "Name another one.")
    }
    guard owners.contains(found.st_uid) else {
      throw refused(directory, "belongs to \(owner(of: directory, found))", "Name a directory of your own.")
    }
    if found.st_mode & 0o022 != 0 {
      throw refused(
        directory,
        "can be written to by other users",
        "Look what is in it, and then: chmod go-w '\(directory)'"
      )
    }
  }

  /// Whoever can change a directory can put another one in the place of any directory beneath it.
  private static func check(_ place: String, above path: String, _ owners: [uid_t]) throws {
    guard let found = lstat(place) else { throw unusable(place) }
    // In a container root's own directories may seem to be somebody else's.
    let trusted = owners + [0, geteuid()] + [lstat("/")?.st_uid].compactMap(\.self)
    guard trusted.contains(found.st_uid) else {
      throw refused(
        path,
        "is beneath \(place), which belongs to \(owner(of: place, found))",
        "Name a directory that is beneath your own ones."
      )
    }
    if found.st_mode & S_IFMT == S_IFLNK {
      guard let target = realpath(place, nil) else { throw unusable(place) }
      defer { free(target) }
      var beneath = ""
      for name in String(cString: target).split(separator: "/") {
        beneath += "/\(name)"
        try check(beneath, above: path, owners)
      }
      return
    }
    // In one with the sticky bit, such as /tmp, others cannot touch what is not theirs.
    if found.st_mode & 0o1002 == 0o002 {
      throw refused(
        path,
        "is beneath \(place), which every user can write to",
        "Name another one, or: chmod o-w '\(place)'"
      )
    }
  }

  private static func owner(of path: String, _ found: stat) -> String {
    let attributes = try? FileManager.default.attributesOfItem(atPath: path)
    return "the user \(attributes?[.ownerAccountName] as? String ?? "\(found.st_uid)")"
  }

  private static func refused(_ path: String, _ what: String, _ advice: String) -> LocalPostgresError {
    LocalPostgresError(.directoryUnusable, "\(path) \(what).", advice: advice)
  }

  /// After a call that has set `errno`.
  private static func unusable(_ path: String) -> LocalPostgresError {
    let reason =
      errno == ELOOP ? "it is a symbolic link, or leads nowhere" : String(cString: strerror(errno))
    return LocalPostgresError(.directoryUnusable, "Cannot use \(path): \(reason).")
  }
}
