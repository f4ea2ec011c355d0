#if AWS
import NIOHTTP1
import Synchronization
import TestSupport
import Testing
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

/// Each source of credentials alone and in its place of the chain, over real HTTP where it speaks that. All of them hold
/// the secret `SECRET` and the token `TOKEN`, which must be nowhere in the log.
@Suite("The credential chain", .sharesMachine)
struct CredentialsChainTests {
  private static let document = #"""
    {"Code":"Success","Version":1,"AccessKeyId":"DOC","SecretAccessKey":"SECRET","Token":"TOKEN",
    "SessionToken":"TOKEN","Expiration":"2026-06-01T18:00:00Z"}
    """#
  private static let roleAnswer = """
    <AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
    <AccessKeyId>ROLE</AccessKeyId><SecretAccessKey>SECRET&amp;&lt;</SecretAccessKey>
    <SessionToken>TOKEN</SessionToken><Expiration>2026-06-01T13:00:00.5Z</Expiration>
    </Credentials></AssumeRoleResult></AssumeRoleResponse>
    """
  private static let config = "/home/me/.aws/config"
  private static let shared = "/home/me/.aws/credentials"
  private static let accessKey = "aws_access_key_id = FILE\naws_secret_access_key = SECRET\n"
  /// No test may ask the machine's own metadata service.
  private static let noInstance = ["AWS_EC2_METADATA_DISABLED": "true"]

  private func credentials(
    _ machine: TestMachine,
    _ variables: [String: String] = [:],
    command: String = "",
    profile: String? = nil
  ) async throws -> (id: String?, name: String) {
    let all = Self.noInstance.merging(variables) { $1 }
    let sources = machine.sources(all, command: command, profile: profile)
    let chain = sources.chain
    defer {
      let log = machine.log.withLock { $0 }
      #expect(!log.contains("SECRET") && !log.contains("TOKEN"), "\(log)")
    }
    return (try await chain.credentials()?.accessKeyID, chain.name)
  }

  private func failure(
    _ machine: TestMachine,
    _ variables: [String: String] = [:],
    command: String = "",
    profile: String? = nil
  ) async throws -> TidemarkError {
    let error = try await #require(throws: TidemarkError.self) {
      try await credentials(machine, variables, command: command, profile: profile)
    }
    let text = "\(error)".replacing("AWS_SECRET_ACCESS_KEY", with: "")
    #expect(!text.contains("SECRET") && !text.contains("TOKEN"), "\(error)")
    return error
  }

  @Test("the chain is empty on a machine that has nothing")
  func nothing() async throws {
    #expect(try await credentials(TestMachine()).id == nil)
  }

  @Test("the chain goes from the environment to the container, in the order of the SDKs")
  func order() async throws {
    let server = try await LoopbackServer { request in
      request.method == "POST" ? Reply(body: Self.roleAnswer) : .json(Self.document)
    }
    let machine = TestMachine(files: [
      "/token": "TOKEN",
      Self.config: """
      [default]
      role_arn = arn:aws:iam::1:role/r
      credential_source = EcsContainer
      credential_process = run me
      """ + "\n" + Self.accessKey,
      Self.shared: "[default]\n" + Self.accessKey,
    ])
    var variables = [
      "AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "SECRET",
      "AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "AWS_ROLE_ARN": "arn:aws:iam::1:role/w",
      "AWS_CONTAINER_CREDENTIALS_FULL_URI": "\(server.url)/c", "AWS_ENDPOINT_URL_STS": server.url,
    ]
    func name() async throws -> String {
      try await credentials(machine, variables, command: Self.document).name
    }
    #expect(try await name() == "environment variables")
    variables["AWS_ACCESS_KEY_ID"] = nil
    #expect(try await name() == "role of the profile")
    machine.files.withLock { $0[Self.config]?.replace("role_arn = arn:aws:iam::1:role/r", with: "") }
    #expect(try await name() == "web identity")
    variables["AWS_WEB_IDENTITY_TOKEN_FILE"] = nil
    #expect(try await name() == "shared credentials file")
    machine.files.withLock { $0[Self.shared] = nil }
    #expect(try await name() == "credential_process")
    machine.files.withLock { $0[Self.config]?.replace("credential_process = run me", with: "") }
    #expect(try await name() == "config file")
    machine.files.withLock { $0[Self.config] = nil }
    #expect(try await name() == "container endpoint")
  }

  @Test("the chain lets a profile that code names go before the environment's key")
  func explicitProfile() async throws {
    let machine = TestMachine(files: [Self.shared: "[dev]\n" + Self.accessKey])
    let variables = ["AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "SECRET"]
    #expect(try await credentials(machine, variables, profile: "dev").id == "FILE")
    #expect(try await credentials(machine, variables).id == "ENV")
  }

  @Test("the chain does not pass over what is configured and broken")
  func broken() async throws {
    let machine = TestMachine(files: [Self.config: "[default]\naws_access_key_id = X\n"])
    #expect(try await failure(machine).code == .invalidConfiguration)
    #expect(try await failure(machine, ["AWS_ACCESS_KEY_ID": "X"]).code == .invalidConfiguration)
    #expect(try await failure(TestMachine(), ["AWS_PROFILE": "none"]).message.contains("none"))
    let noFile = ["AWS_WEB_IDENTITY_TOKEN_FILE": "/none", "AWS_ROLE_ARN": "r"]
    #expect(try await failure(TestMachine(), noFile).message.contains("/none"))
    let noRole = ["AWS_WEB_IDENTITY_TOKEN_FILE": "/none"]
    #expect(try await failure(TestMachine(), noRole).advice?.contains("AWS_ROLE_ARN") == true)
  }

  @Test("the chain runs a credential_process without a shell, and refuses what is no answer")
  func process() async throws {
    let line = #"credential_process = "/opt/my tool" --name 'a b' c\ d "e\"f""#
    let machine = TestMachine(files: [Self.config: "[default]\n\(line)\n"])
    #expect(try await credentials(machine, command: Self.document).id == "DOC")
    #expect(machine.commands.withLock { $0 } == [["/opt/my tool", "--name", "a b", "c d", "e\"f"]])
    #expect(
      try await failure(machine, command: #"{"Version":2,"AccessKeyId":"SECRET"}"#).code == .accessDenied
    )
    #expect(try await failure(machine, command: "SECRET").message.contains("something else"))
    #expect(try await failure(machine, command: "").message.contains("code 1"))
    #expect(ShellWords.split("a 'b") == nil)
  }

  @Test("the chain runs programs of this machine")
  func realProcess() async throws {
    let result = try await AWSEnvironment.runCommandOfMachine(["printf", "%s-%s", "a b", "c"])
    #expect(result.output == "a b-c" && result.exitCode == 0)
    #expect(try await AWSEnvironment.runCommandOfMachine(["false"]).exitCode == 1)
  }

  @Test("the chain assumes roles one through the other, and signs with the source's key")
  func roleChain() async throws {
    let server = try await LoopbackServer.replying(Reply(body: Self.roleAnswer))
    let machine = TestMachine(files: [
      Self.config: """
      [profile outer]
      role_arn = arn:aws:iam::1:role/outer
      source_profile = inner
      external_id = a&b
      role_session_name = me
      duration_seconds = 900
      [profile inner]
      role_arn = arn:aws:iam::1:role/inner
      source_profile = base
      """,
      Self.shared: "[base]\n" + Self.accessKey,
    ])
    let variables = ["AWS_ENDPOINT_URL_STS": server.url, "AWS_PROFILE": "outer"]
    let sources = machine.sources(Self.noInstance.merging(variables) { $1 })
    let credentials = try #require(try await sources.chain.credentials())
    #expect(credentials.secretAccessKey == "SECRET&<" && credentials.sessionToken == "TOKEN")
    #expect(credentials.expiration == Timestamp(iso8601: "2026-06-01T13:00:00.5Z"))
    let requests = server.requests
    #expect(
      requests.map { $0.headers["Authorization"].first?.contains("Credential=FILE/") } == [true, false]
    )
    #expect(requests[0].body.hasPrefix("Action=AssumeRole&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Finner&"))
    #expect(
      requests[1].body
        == "Action=AssumeRole&DurationSeconds=900&ExternalId=a%26b&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fouter"
        + "&RoleSessionName=me&Version=2011-06-15"
    )
    #expect(requests[1].headers["X-Amz-Security-Token"] == ["TOKEN"])
  }

  @Test(
    "the chain refuses profiles with roles that lead nowhere",
    arguments: [
      ("role_arn = r", "either a source_profile"),
      ("role_arn = r\nsource_profile = none", "none, which does not exist"),
      ("role_arn = r\nsource_profile = default", "back to itself"),
      (
        "role_arn = r\nsource_profile = b\n[profile b]\nrole_arn = r\nsource_profile = default",
        "back to itself"
      ),
      ("role_arn = r\ncredential_source = Nowhere", "Nowhere, which does not exist"),
      ("role_arn = r\ncredential_source = Environment", "no credentials"),
      ("role_arn = r\nmfa_serial = m\nsource_profile = default", "MFA"),
      ("role_arn = r\nsource_profile = b\n[profile b]\nregion = x", "no credentials"),
    ]
  )
  func roleProblems(text: String, message: String) async throws {
    let error = try await failure(TestMachine(files: [Self.config: "[default]\n\(text)\n"]))
    #expect(error.code == .invalidConfiguration && error.message.contains(message), "\(error)")
  }

  @Test("the chain lets a profile with an access key be its own source")
  func ownSource() async throws {
    let server = try await LoopbackServer.replying(Reply(body: Self.roleAnswer))
    let machine = TestMachine(files: [
      Self.config: "[default]\nrole_arn = r\nsource_profile = default\n" + Self.accessKey
    ])
    #expect(try await credentials(machine, ["AWS_ENDPOINT_URL": server.url]).id == "ROLE")
  }

  @Test("the chain asks STS again after failures, corrects the clock for it, and repeats its refusals")
  func security() async throws {
    let refusal = """
      <ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>Not you.</Message></Error>
      <RequestId>R9</RequestId></ErrorResponse>
      """
    let server = try await LoopbackServer.replying(
      .error(500, "<html>"),
      .error(
        403,
        refusal.replacing("AccessDenied", with: "RequestTimeTooSkewed"),
        headers: [
          "Date": "Mon, 01 Jun 2026 12:10:00 GMT"
        ]
      ),
      Reply(body: Self.roleAnswer),
      .error(403, refusal)
    )
    let machine = TestMachine(files: [
      Self.config: "[default]\nrole_arn = r\nsource_profile = default\n" + Self.accessKey
    ])
    let variables = ["AWS_ENDPOINT_URL": server.url]
    #expect(try await credentials(machine, variables).id == "ROLE")
    #expect(server.requests.last?.headers["X-Amz-Date"] == ["20260601T121000Z"])
    let error = try await failure(machine, variables)
    #expect(
      error.code == .accessDenied && error.message == "AssumeRole was answered with AccessDenied: Not you."
    )
    #expect((error.underlying as? AWSError)?.requestID == "R9")
  }

  @Test("the chain reads the web identity's token at each refresh, and sends it unsigned")
  func webIdentity() async throws {
    let server = try await LoopbackServer.replying(Reply(body: Self.roleAnswer))
    let machine = TestMachine(files: ["/token": "TOKEN1"])
    let sources = machine.sources([
      "AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "AWS_ROLE_ARN": "r", "AWS_ROLE_SESSION_NAME": "pod",
      "AWS_ENDPOINT_URL_STS": server.url,
    ])
    let chain = sources.chain
    #expect(try await chain.credentials()?.accessKeyID == "ROLE")
    machine.files.withLock { $0["/token"] = "TOKEN2" }
    _ = try await chain.credentials()
    #expect(
      server.requests.map(\.body)
        == (1...2).map {
          "Action=AssumeRoleWithWebIdentity&RoleArn=r&RoleSessionName=pod&Version=2011-06-15&WebIdentityToken=TOKEN\($0)"
        }
    )
    #expect(server.requests.allSatisfy { $0.headers["Authorization"].isEmpty })
  }
}
#endif
