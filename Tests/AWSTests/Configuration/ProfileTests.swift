#if AWS
import Testing
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

@Suite("The shared files")
struct ProfileTests {
  private static let config = """
    # a comment
    [default]
    region = eu-west-1   ; and another
    OUTPUT=json

    [profile dev]
    region=eu-central-1
    services = local
    credential_process = /bin/x "a b" 'c#d'
    [ profile "with space" ]
    region = us-gov-west-1
    s3 =
      max_concurrent_requests = 20
      Addressing_Style = path
    [profile long]
    note = first
      second
    [services local]
    dynamodb_streams =
      endpoint_url = http://localhost:1/
    kinesis =
      endpoint_url = http://localhost:2
    [sso-session corp]
    sso_region = eu-north-1
    [preview]
    cloudfront = true
    """

  private func profiles(_ variables: [String: String] = [:], _ name: String? = nil) throws -> AWSProfiles {
    let machine = TestMachine(files: [
      "/home/me/.aws/config": Self.config,
      "/home/me/.aws/credentials": """
      [default]
      aws_access_key_id = AKID
      aws_secret_access_key = se/cr+et==
      [only-here]
      region = ap-south-1
      """,
      "/elsewhere": "[default]\nregion = sa-east-1",
    ])
    return try AWSProfiles(name, machine.environment(variables))
  }

  @Test("the shared files are read with comments, quotes, blanks, nested properties and lines that go on")
  func format() throws {
    let file = try INIFile(Self.config, name: "config")
    #expect(file.sections["default"]?["region"]?.text == "eu-west-1")
    #expect(file.sections["default"]?["output"]?.text == "json")
    #expect(file.sections["profile dev"]?["credential_process"]?.text == #"/bin/x "a b" 'c#d'"#)
    #expect(file.sections["profile with space"]?["region"]?.text == "us-gov-west-1")
    #expect(
      file.sections["profile with space"]?["s3"]?.nested
        == ["max_concurrent_requests": "20", "addressing_style": "path"]
    )
    #expect(file.sections["profile long"]?["note"]?.text == "first\nsecond")
  }

  @Test("the shared files with Windows' line ends are read as others are")
  func lineEnds() throws {
    let file = try INIFile("[default]\r\nregion = a\r\n\r\nkey =\r\n  b = c\r\n", name: "config")
    #expect(file.sections["default"] == ["region": .init(text: "a"), "key": .init(nested: ["b": "c"])])
  }

  @Test(
    "the shared files that are broken are refused by line, and the line is not shown",
    arguments: ["[default]\nSECRET", "SECRET = x", "[SECRET\n", "[a]\nb =\n  SECRET", "[a]\n= SECRET"]
  )
  func broken(text: String) throws {
    let error = try #require(throws: TidemarkError.self) { try INIFile(text, name: "the file") }
    #expect(error.code == .invalidConfiguration && error.message.contains("of the file"))
    #expect(!"\(error)".contains("SECRET"))
  }

  @Test("the shared files give one profile, of which the credentials file has the last word")
  func merged() throws {
    #expect(try profiles().current?["aws_access_key_id"] == "AKID")
    #expect(try profiles().current?["region"] == "eu-west-1")
    #expect(try profiles().profile("only-here")?["region"] == "ap-south-1")
    #expect(try profiles().profile("preview") == nil)
    #expect(try profiles().ssoSession("corp")?["sso_region"] == "eu-north-1")
  }

  @Test("the shared files are those that the environment names, and so is the profile")
  func environment() throws {
    #expect(try profiles(["AWS_CONFIG_FILE": "/elsewhere"]).current?["region"] == "sa-east-1")
    #expect(try profiles(["AWS_PROFILE": "dev"]).current?["region"] == "eu-central-1")
    #expect(try profiles(["AWS_PROFILE": "dev"], "with space").current?["region"] == "us-gov-west-1")
  }

  @Test("the shared files have the region when neither code nor environment has it")
  func region() throws {
    func region(_ variables: [String: String], _ explicit: String? = nil) throws -> String {
      let environment = TestMachine().environment(variables)
      return try profiles(variables).region(explicit, environment)
    }
    #expect(try region([:]) == "eu-west-1")
    #expect(try region(["AWS_DEFAULT_REGION": "b"]) == "b")
    #expect(try region(["AWS_DEFAULT_REGION": "b", "AWS_REGION": "a"]) == "a")
    #expect(try region(["AWS_REGION": "a"], "x") == "x")
    for wrong in ["evil.com/", "a b", "-a"] {
      #expect(throws: TidemarkError.self) { try region([:], wrong) }
    }
    let error = try #require(throws: TidemarkError.self) { try region(["AWS_PROFILE": "long"]) }
    #expect(error.code == .invalidConfiguration && error.advice?.contains("AWS_REGION") == true)
  }

  private func url(
    _ service: AWSService,
    _ region: String = "eu-central-1",
    explicit: String? = nil,
    _ variables: [String: String] = [:]
  ) throws -> String {
    try AWSEndpoint.url(
      of: service,
      region: region,
      explicit: explicit,
      environment: TestMachine().environment(variables),
      profile: profiles(variables).current
    )
  }

  @Test("the shared files or the partition tell where services are")
  func defaultEndpoints() throws {
    #expect(try url(.dynamoDBStreams) == "https://streams.dynamodb.eu-central-1.amazonaws.com")
    #expect(try url(.kinesis, "cn-north-1") == "https://kinesis.cn-north-1.amazonaws.com.cn")
    #expect(try url(.dynamoDB, "us-gov-west-1") == "https://dynamodb.us-gov-west-1.amazonaws.com")
    #expect(try url(.sso) == "https://portal.sso.eu-central-1.amazonaws.com")
  }

  @Test("the shared files are asked for endpoints after code and environment")
  func configuredEndpoints() throws {
    let dev = ["AWS_PROFILE": "dev"]
    let all = dev.merging(["AWS_ENDPOINT_URL": "http://all/"]) { $1 }
    let one = all.merging(["AWS_ENDPOINT_URL_KINESIS": "http://one"]) { $1 }
    #expect(try url(.dynamoDBStreams, dev) == "http://localhost:1")
    #expect(try url(.dynamoDB, dev) == "https://dynamodb.eu-central-1.amazonaws.com")
    #expect(try url(.dynamoDBStreams, all) == "http://all")
    #expect(try url(.kinesis, one) == "http://one")
    #expect(try url(.dynamoDBStreams, one) == "http://all")
    #expect(try url(.kinesis, explicit: "http://code", one) == "http://code")
    let ignored = one.merging(["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"]) { $1 }
    #expect(try url(.kinesis, ignored) == "https://kinesis.eu-central-1.amazonaws.com")
    #expect(throws: TidemarkError.self) { try url(.kinesis, ["AWS_ENDPOINT_URL": "localhost:4566"]) }
  }

  private func url(_ service: AWSService, _ variables: [String: String]) throws -> String {
    try url(service, "eu-central-1", explicit: nil, variables)
  }

  @Test("ARNs are taken apart, and other text is none")
  func resourceNames() throws {
    let text = "arn:aws-cn:dynamodb:cn-north-1:123456789012:table/a/stream/2026-01-01T00:00:00.000"
    let name = try #require(AWSResourceName(text))
    #expect(name.region == "cn-north-1" && name.account == "123456789012" && name.service == "dynamodb")
    #expect(name.resource == "table/a/stream/2026-01-01T00:00:00.000")
    #expect("\(name)" == text)
    for text in ["orders", "arn:aws:kinesis:eu", "arn:gcp:a:b:c:d", "arn:aws:kinesis:eu:1:"] {
      #expect(AWSResourceName(text) == nil)
    }
  }

  @Test("a configuration names everything that is wrong at once")
  func validation() throws {
    try AWSConfiguration().validate()
    var configuration = AWSConfiguration()
    configuration.timeout = .zero
    configuration.endpoint.url = "ftp://x"
    configuration.endpoint.region = "a/b"
    configuration.credentials.profile = ""
    configuration.retry.maximumAttempts = 0
    configuration.retry.timeLimit = .zero
    configuration.retry.throttle.jitter = 2
    let error = try #require(throws: TidemarkError.self) { try configuration.validate() }
    for name in [
      "timeout is", "endpoint.url", "endpoint.region", "credentials.profile", "retry.maximumAttempts",
      "retry.timeLimit", "retry.throttle.jitter",
    ] {
      #expect(error.message.contains(name), "\(error.message)")
    }
  }
}
#endif
