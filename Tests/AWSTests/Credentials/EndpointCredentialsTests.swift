#if AWS
import NIOHTTP1
import Synchronization
import TestSupport
import Testing
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

/// Containers, instances and SSO, played by servers on loopback.
@Suite("Credentials from endpoints", .sharesMachine)
struct EndpointCredentialsTests {
  private static let document =
    #"{"Code":"Success","AccessKeyId":"DOC","SecretAccessKey":"SECRET","Token":"TOKEN","#
    + #""Expiration":"2026-06-01T18:00:00Z"}"#

  @Test("a container's endpoint gets the token as it is in the file at that moment")
  func container() async throws {
    let server = try await LoopbackServer.replying(.error(500, ""), .json(Self.document))
    let machine = TestMachine(files: ["/token": "one"])
    let provider = ContainerProvider(
      environment: machine.environment([
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "\(server.url)/v2/credentials?a=b",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "ignored", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/token",
      ]),
      logger: machine.logger
    )
    let credentials = try #require(try await provider.credentials())
    #expect(credentials.accessKeyID == "DOC" && credentials.sessionToken == "TOKEN")
    #expect(credentials.expiration == Timestamp(iso8601: "2026-06-01T18:00:00Z"))
    machine.files.withLock { $0["/token"] = "two" }
    _ = try await provider.credentials()
    #expect(server.requests.map { $0.headers["Authorization"] } == [["one"], ["one"], ["two"]])
    #expect(server.requests[0].uri == "/v2/credentials?a=b")
    for token in ["a\r\nX-Evil: 1", "a\n"] {
      machine.files.withLock { $0["/token"] = token }
      let error = try await #require(throws: TidemarkError.self) { try await provider.credentials() }
      #expect(error.code == .invalidConfiguration && !"\(error)".contains("Evil"))
    }
    #expect(server.requests.count == 3)
  }

  @Test(
    "a container's endpoint is asked without TLS only on this host, ECS and EKS",
    arguments: [
      ("http://127.0.0.1:80/a", true), ("http://localhost/a", true), ("http://[::1]/a", true),
      ("http://169.254.170.2/a", true), ("http://169.254.170.23/v1/credentials", true),
      ("http://[fd00:ec2::23]/v1/credentials", true), ("https://anywhere.example/a", true),
      ("http://anywhere.example/a", false), ("http://169.254.169.254/", false),
      ("http://127.0.0.1.evil.com/", false),
      ("http://[fd00:ec2::254]/", false), ("ftp://localhost/", false), ("nonsense", false),
      ("http://localhost@evil.com/", false),
    ]
  )
  func hosts(url: String, isAllowed: Bool) throws {
    let environment = TestMachine().environment(["AWS_CONTAINER_CREDENTIALS_FULL_URI": url])
    let provider = ContainerProvider(environment: environment, logger: TestMachine().logger)
    if isAllowed {
      #expect(try provider.url() == url)
    } else {
      #expect(throws: TidemarkError.self) { try provider.url() }
    }
  }

  @Test("a container's relative address is ECS's, and goes before a full one")
  func relative() throws {
    let environment = TestMachine().environment([
      "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/x",
      "AWS_CONTAINER_CREDENTIALS_FULL_URI": "https://other/",
    ])
    let provider = ContainerProvider(environment: environment, logger: TestMachine().logger)
    #expect(try provider.url() == "http://169.254.170.2/v2/x")
  }

  @Test("a container's refusal is an error, and shows nothing of the answer")
  func containerRefusal() async throws {
    for reply in [Reply.error(404, "SECRET"), .json("SECRET"), .json(#"{"AccessKeyId":"SECRET"}"#)] {
      let server = try await LoopbackServer.replying(reply)
      let environment = TestMachine().environment(["AWS_CONTAINER_CREDENTIALS_FULL_URI": server.url])
      let provider = ContainerProvider(environment: environment, logger: TestMachine().logger)
      let error = try await #require(throws: TidemarkError.self) { try await provider.credentials() }
      #expect(error.code == .accessDenied && !"\(error)".contains("SECRET"))
    }
  }

  /// An instance's metadata service.
  private func metadata(
    token: Reply = Reply(body: "IMDS-TOKEN"),
    role: Reply = Reply(body: "my role"),
    document: Reply = .json(EndpointCredentialsTests.document)
  ) async throws -> LoopbackServer {
    try await LoopbackServer { request in
      if request.method == "PUT" { return token }
      return request.uri.hasSuffix("/security-credentials/") ? role : document
    }
  }

  private func instance(_ server: LoopbackServer, _ variables: [String: String] = [:])
    -> InstanceMetadataProvider
  {
    let machine = TestMachine()
    let all = ["AWS_EC2_METADATA_SERVICE_ENDPOINT": "\(server.url)/"].merging(variables) { $1 }
    return InstanceMetadataProvider(
      environment: machine.environment(all),
      profile: nil,
      logger: machine.logger
    )
  }

  @Test("an instance gives its role's credentials to a caller that has a token")
  func instance() async throws {
    let server = try await metadata()
    #expect(try await instance(server).credentials()?.accessKeyID == "DOC")
    let base = "/latest/meta-data/iam/security-credentials/"
    #expect(server.requests.map(\.uri) == ["/latest/api/token", base, base + "my%20role"])
    #expect(server.requests[0].headers["x-aws-ec2-metadata-token-ttl-seconds"] == ["21600"])
    #expect(server.requests[2].headers["x-aws-ec2-metadata-token"] == ["IMDS-TOKEN"])
  }

  @Test(
    "an instance without tokens is asked by version 1, unless that is disabled",
    arguments: [403, 404, 405]
  )
  func version1(status: Int) async throws {
    let server = try await metadata(token: .error(status, ""))
    #expect(try await instance(server).credentials()?.accessKeyID == "DOC")
    #expect(server.requests.last?.headers["x-aws-ec2-metadata-token"] == [])
    let error = try await #require(throws: TidemarkError.self) {
      try await instance(server, ["AWS_EC2_METADATA_V1_DISABLED": "true"]).credentials()
    }
    #expect(error.code == .accessDenied)
  }

  @Test("a token that is lost on the way leaves version 1")
  func lostToken() async throws {
    let server = try await metadata(token: Reply(delivery: .silence))
    #expect(try await instance(server).credentials()?.accessKeyID == "DOC")
  }

  @Test("where there is no instance, no role or no permission to ask, there are no credentials")
  func noInstance() async throws {
    #expect(try await instance(metadata(role: .error(404, ""))).credentials() == nil)
    #expect(try await instance(metadata(token: .error(400, ""))).credentials() == nil)
    let server = try await metadata()
    let disabled = instance(server, ["AWS_EC2_METADATA_DISABLED": "true"])
    #expect(try await disabled.credentials() == nil)
    #expect(server.requests.isEmpty)
    let closed = try await LoopbackServer.replying(Reply(delivery: .cut))
    #expect(try await instance(closed).credentials() == nil)
  }

  @Test("an instance that says why it has no credentials is an error")
  func instanceProblem() async throws {
    let document = Reply.json(#"{"Code":"AssumeRoleUnauthorizedAccess","Message":"SECRET"}"#)
    let error = try await #require(throws: TidemarkError.self) {
      try await instance(metadata(document: document)).credentials()
    }
    #expect(error.message.contains("AssumeRoleUnauthorizedAccess") && !"\(error)".contains("SECRET"))
  }

  private static let legacy = """
    [default]
    sso_start_url = https://d-92671207e4.awsapps.com/start
    sso_region = eu-north-1
    sso_account_id = 123456789012
    sso_role_name = Read Only
    """
  private static let session = """
    [default]
    sso_session = corp
    sso_account_id = 123456789012
    sso_role_name = Reader
    [sso-session corp]
    sso_start_url = https://corp.awsapps.com/start
    sso_region = eu-north-1
    """

  private func login(_ config: String, token: String?, _ reply: Reply) async throws
    -> (server: LoopbackServer, provider: SSOProvider)
  {
    let server = try await LoopbackServer.replying(reply)
    let machine = TestMachine(files: ["/home/me/.aws/config": config])
    let environment = machine.environment(["AWS_ENDPOINT_URL_SSO": server.url])
    var sources = machine.sources()
    sources.environment = environment
    sources.environment.readFile = { path in
      path.contains("/sso/cache/") ? token : machine.files.withLock { $0[path] }
    }
    return (server, SSOProvider(sources: sources, profile: nil))
  }

  private static let ssoAnswer = Reply.json(
    #"{"roleCredentials":{"accessKeyId":"SSO","secretAccessKey":"SECRET","sessionToken":"TOKEN","#
      + #""expiration":1780333200000}}"#
  )
  private static let token = #"{"accessToken":"CACHED","expiresAt":"2026-06-01T13:00:00Z"}"#

  @Test("SSO exchanges the cached token, in the old form and with a session", arguments: [legacy, session])
  func sso(config: String) async throws {
    let (server, provider) = try await login(config, token: Self.token, Self.ssoAnswer)
    let credentials = try #require(try await provider.credentials())
    #expect(credentials.accessKeyID == "SSO" && credentials.sessionToken == "TOKEN")
    #expect(credentials.expiration == Timestamp(millisecondsSinceEpoch: 1_780_333_200_000))
    let request = try #require(server.requests.first)
    let role = config == Self.legacy ? "Read%20Only" : "Reader"
    #expect(request.uri == "/federation/credentials?role_name=\(role)&account_id=123456789012")
    #expect(request.headers["x-amz-sso_bearer_token"] == ["CACHED"])
  }

  @Test("SSO looks for the token under the hash of the session's name, or of the start URL")
  func ssoCache() async throws {
    // What `printf %s NAME | sha1sum` says of them.
    for (config, hash) in [
      (Self.session, "ee0bfd2552fbd840c02cc48b6e823320543c450f"),
      (Self.legacy, "13f9d35043871d073ab260e020f0ffde092cb14b"),
    ] {
      let seen = Mutex<[String]>([])
      let machine = TestMachine(files: ["/home/me/.aws/config": config])
      var sources = machine.sources()
      sources.environment.readFile = { path in
        seen.withLock { $0.append(path) }
        return machine.files.withLock { $0[path] }
      }
      let provider = SSOProvider(sources: sources, profile: nil)
      await #expect(throws: TidemarkError.self) { try await provider.credentials() }
      let path = try #require(seen.withLock { $0.last })
      #expect(path == "/home/me/.aws/sso/cache/\(hash).json")
    }
  }

  @Test(
    "SSO says what to run when the token is missing, has expired or is refused",
    arguments: [
      (nil, 200), (#"{"accessToken":"CACHED","expiresAt":"2026-06-01T11:00:00Z"}"#, 200), (token, 401),
      ("nonsense", 200),
    ] as [(String?, Int)]
  )
  func ssoLoggedOut(token: String?, status: Int) async throws {
    let reply = status == 200 ? Self.ssoAnswer : .error(status, "CACHED")
    let provider = try await login(Self.session, token: token, reply).provider
    let error = try await #require(throws: TidemarkError.self) { try await provider.credentials() }
    #expect(error.code == .accessDenied && error.advice == "Run: aws sso login --profile default")
    #expect(!"\(error)".contains("CACHED"))
  }

  @Test("SSO that is configured by halves, or twice in different ways, is an error")
  func ssoProblems() async throws {
    for (config, message) in [
      ("[default]\nsso_account_id = 1", "without sso_start_url, sso_region, sso_role_name"),
      ("[default]\nsso_session = none\nsso_account_id = 1", "none, which does not exist"),
      (Self.session.replacing("[sso-session", with: "sso_region = x\n[sso-session"), "differ in sso_region"),
    ] {
      let provider = try await login(config, token: Self.token, Self.ssoAnswer).provider
      let error = try await #require(throws: TidemarkError.self) { try await provider.credentials() }
      #expect(error.code == .invalidConfiguration && error.message.contains(message), "\(error)")
    }
  }
}
#endif
