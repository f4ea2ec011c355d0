import Foundation
import TestSupport
import Testing

@testable import LocalPostgres

@Suite("Private files")
struct PrivateFilesTests {
  private let files = FileManager.default
  private let parent: TemporaryDirectory
  /// What the tests are about, in a directory of their own.
  private let home: String
  /// Not this user, and not root.
  private static let stranger: uid_t = 65_534

  init() throws {
    parent = try TemporaryDirectory()
    home = parent.path + "/home"
  }

  private func permissions(_ path: String) throws -> Int? {
    try files.attributesOfItem(atPath: path)[.posixPermissions] as? Int
  }

  private func make(_ path: String, _ permissions: Int = 0o700) throws {
    try files.createDirectory(atPath: path, withIntermediateDirectories: false)
    try files.setAttributes([.posixPermissions: permissions], ofItemAtPath: path)
  }

  /// Expects that the directory is refused.
  /// - Returns: what is said about it.
  private func refusal(of directory: String) throws -> String {
    let error = try #require(throws: LocalPostgresError.self) { try PrivateFiles.makeDirectory(directory) }
    #expect(error.code == .directoryUnusable)
    return error.description
  }

  @Test("a directory is made with those above it, for this user alone, and found again")
  func made() throws {
    try PrivateFiles.makeDirectory(home + "/a/b")
    for path in [home, home + "/a", home + "/a/b"] { #expect(try permissions(path) == 0o700) }
    try PrivateFiles.makeDirectory(home + "/a/b/")
    try PrivateFiles.makeDirectory(home + "/c", permissions: 0o711)
    #expect(try permissions(home + "/c") == 0o711)
  }

  @Test("a directory that is a symbolic link is refused, wherever it leads", arguments: ["", "/"])
  func link(suffix: String) throws {
    try make(parent.path + "/elsewhere")
    try files.createSymbolicLink(atPath: home, withDestinationPath: parent.path + "/elsewhere")
    #expect(try refusal(of: home + suffix).contains("\(home) is a symbolic link."))
    try files.removeItem(atPath: home)
    try files.createSymbolicLink(atPath: home, withDestinationPath: parent.path + "/nowhere")
    #expect(try refusal(of: home + suffix).contains("\(home) is a symbolic link."))
    #expect(!files.fileExists(atPath: parent.path + "/nowhere"))
  }

  @Test("a link above a directory is followed")
  func linkAbove() throws {
    try make(parent.path + "/elsewhere")
    try files.createSymbolicLink(atPath: home, withDestinationPath: parent.path + "/elsewhere")
    try PrivateFiles.makeDirectory(home + "/a")
    #expect(files.fileExists(atPath: parent.path + "/elsewhere/a"))
  }

  @Test(
    "a directory that others can write to is refused, with what helps",
    arguments: [0o777, 0o770, 0o1777]
  )
  func writable(mode: Int) throws {
    try make(home, mode)
    #expect(try refusal(of: home).contains("chmod go-w '\(home)'"))
    try files.setAttributes([.posixPermissions: 0o755], ofItemAtPath: home)
    try PrivateFiles.makeDirectory(home)
  }

  @Test("a directory beneath one that every user can write to is refused, unless that has the sticky bit")
  func writableAbove() throws {
    try make(home, 0o777)
    #expect(try refusal(of: home + "/a").contains("chmod o-w '\(home)'"))
    #expect(!files.fileExists(atPath: home + "/a"))
    try files.setAttributes([.posixPermissions: 0o1777], ofItemAtPath: home)
    try PrivateFiles.makeDirectory(home + "/a")
  }

  @Test("what another user has made is refused, and what is beneath", .enabled(if: geteuid() == 0))
  func foreign() throws {
    try make(home)
    #expect(chown(home, Self.stranger, Self.stranger) == 0)
    #expect(try refusal(of: home).contains("\(home) belongs to the user"))
    #expect(try refusal(of: home + "/a").contains("is beneath \(home), which belongs to the user"))
    #expect(!files.fileExists(atPath: home + "/a"))
    try PrivateFiles.makeDirectory(home, owners: [0, Self.stranger])
    try make(parent.path + "/elsewhere")
    let link = parent.path + "/link"
    try files.createSymbolicLink(atPath: link, withDestinationPath: parent.path + "/elsewhere")
    #expect(lchown(link, Self.stranger, Self.stranger) == 0)
    #expect(try refusal(of: link + "/a").contains("is beneath \(link), which belongs to the user"))
  }

  @Test("a file where a directory should be is refused")
  func file() throws {
    #expect(files.createFile(atPath: home, contents: nil))
    #expect(try refusal(of: home).contains("is no directory"))
    #expect(try refusal(of: home + "/a").contains("Cannot use \(home)/a"))
  }

  @Test("a temporary directory is this user's alone, and no other has its name")
  func temporary() throws {
    let made = try (1...3).map { _ in try PrivateFiles.makeTemporaryDirectory("name", in: parent.path) }
    #expect(Set(made).count == 3)
    for path in made { #expect(try permissions(path) == 0o700) }
    let shared = try PrivateFiles.makeTemporaryDirectory("name", in: parent.path, permissions: 0o711)
    #expect(try permissions(shared) == 0o711)
    #expect(throws: LocalPostgresError.self) { try PrivateFiles.makeTemporaryDirectory("name", in: home) }
  }

  @Test("a file is made for this user alone, and none is opened that a symbolic link leads to")
  func opened() throws {
    try make(home)
    try PrivateFiles.open(home + "/a", O_WRONLY | O_APPEND).write(contentsOf: Data("1".utf8))
    try PrivateFiles.open(home + "/a", O_WRONLY | O_APPEND).write(contentsOf: Data("2".utf8))
    #expect(files.contents(atPath: home + "/a") == Data("12".utf8))
    #expect(try permissions(home + "/a") == 0o600)
    try files.createSymbolicLink(atPath: home + "/link", withDestinationPath: home + "/a")
    let error = try #require(throws: LocalPostgresError.self) {
      try PrivateFiles.open(home + "/link", O_WRONLY)
    }
    #expect(error.message.contains("link: it is a symbolic link"))
  }

  @Test(
    "a server's directory that is a link, that others can write to or that is somebody else's is refused and left alone"
  )
  func server() async throws {
    try make(parent.path + "/elsewhere")
    try files.createSymbolicLink(atPath: home, withDestinationPath: parent.path + "/elsewhere")
    var configuration = LocalPostgresConfiguration()
    configuration.directory = home
    func isRefused() async throws {
      let error = try await #require(throws: LocalPostgresError.self) {
        try await LocalPostgres.start(configuration)
      }
      #expect(error.code == .directoryUnusable && error.advice != nil)
    }
    try await isRefused()
    try files.removeItem(atPath: home)
    try make(home, 0o777)
    for name in ["log", "password"] { #expect(files.createFile(atPath: "\(home)/\(name)", contents: nil)) }
    try await isRefused()
    #expect(try permissions(home) == 0o777)
    if geteuid() == 0 {
      try files.setAttributes([.posixPermissions: 0o700], ofItemAtPath: home)
      #expect(chown(home, Self.stranger - 1, Self.stranger - 1) == 0)
      try await isRefused()
      #expect(try files.attributesOfItem(atPath: home)[.ownerAccountID] as? Int == Int(Self.stranger - 1))
    }
    #expect(try files.contentsOfDirectory(atPath: parent.path + "/elsewhere").isEmpty)
  }
}
