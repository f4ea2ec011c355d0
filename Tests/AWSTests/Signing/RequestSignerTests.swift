#if AWS
import NIOCore
import NIOHTTP1
import Testing
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

/// A request, and the signature that somebody else made of it.
struct SigningCase: Sendable, CustomTestStringConvertible {
  var name: String
  var method = HTTPMethod.GET
  var target = "/"
  var headers: [(String, String)] = []
  var body = ""
  var token: String?
  var signature: String

  var testDescription: String { name }

  func call(at origin: String) -> HTTPCall {
    var call = HTTPCall(method, url: origin + target)
    for (name, value) in headers { call.headers.add(name: name, value: value) }
    call.body = ByteBuffer(string: body)
    return call
  }

  func credentials() -> AWSCredentials {
    AWSCredentials(
      accessKeyID: "AKIDEXAMPLE",
      secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
      sessionToken: token
    )
  }
}

@Suite("Request signing")
struct RequestSignerTests {
  private static let unreserved = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
  private static let form = "application/x-www-form-urlencoded"
  private static let formHash = "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"

  /// The requests and signatures of the signing test suite that AWS publishes: those with normalized paths.
  private static let published: [SigningCase] = [
    .init(name: "get-vanilla", signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    .init(
      name: "get-vanilla-with-session-token",
      token: "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267",
      signature: "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8"
    ),
    .init(
      name: "get-header-key-duplicate",
      headers: [("My-Header1", "value2"), ("My-Header1", "value2"), ("My-Header1", "value1")],
      signature: "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"
    ),
    .init(
      name: "get-header-value-order",
      headers: [
        ("My-Header1", "value4"), ("My-Header1", "value1"), ("My-Header1", "value3"),
        ("My-Header1", "value2"),
      ],
      signature: "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"
    ),
    .init(
      name: "get-header-value-trim",
      headers: [("My-Header1", " value1"), ("My-Header2", " \"a   b   c\"")],
      signature: "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"
    ),
    .init(
      name: "get-relative",
      target: "/example/..",
      signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    ),
    .init(
      name: "get-slash-pointless-dot",
      target: "/./example",
      signature: "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"
    ),
    .init(
      name: "get-slashes",
      target: "//example//",
      signature: "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"
    ),
    .init(
      name: "get-space",
      target: "/example space/",
      signature: "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"
    ),
    .init(
      name: "get-unreserved",
      target: "/\(unreserved)",
      signature: "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"
    ),
    .init(
      name: "get-utf8",
      target: "/\u{1234}",
      signature: "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"
    ),
    .init(
      name: "get-vanilla-query-order-encoded",
      target: "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
      signature: "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac"
    ),
    .init(
      name: "get-vanilla-query-order-key-case",
      target: "/?Param2=value2&Param1=value1",
      signature: "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"
    ),
    .init(
      name: "get-vanilla-query-unreserved",
      target: "/?\(unreserved)=\(unreserved)",
      signature: "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"
    ),
    .init(
      name: "get-vanilla-utf8-query",
      target: "/?\u{1234}=bar",
      signature: "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"
    ),
    .init(
      name: "post-vanilla",
      method: .POST,
      signature: "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
    ),
    .init(
      name: "post-header-key-sort",
      method: .POST,
      headers: [("My-Header1", "value1")],
      signature: "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"
    ),
    .init(
      name: "post-header-value-case",
      method: .POST,
      headers: [("My-Header1", "VALUE1")],
      signature: "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"
    ),
    .init(
      name: "post-vanilla-query",
      method: .POST,
      target: "/?Param1=value1",
      signature: "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"
    ),
    .init(
      name: "post-x-www-form-urlencoded",
      method: .POST,
      headers: [("Content-Type", form), ("Content-Length", "13"), ("X-Amz-Content-SHA256", formHash)],
      body: "Param1=value1",
      signature: "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"
    ),
    .init(
      name: "post-x-www-form-urlencoded-parameters",
      method: .POST,
      headers: [
        ("Content-Type", "\(form); charset=utf-8"), ("Content-Length", "13"),
        ("X-Amz-Content-SHA256", formHash),
      ],
      body: "Param1=value1",
      signature: "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422"
    ),
  ]

  @Test("signing gives the signatures that AWS publishes", arguments: published)
  func suite(example: SigningCase) throws {
    let signer = RequestSigner(region: "us-east-1", service: "service")
    let call = example.call(at: "https://example.amazonaws.com")
    let time = try #require(Timestamp(iso8601: "2015-08-30T12:36:00Z"))
    let header = signer.sign(call, as: example.credentials(), at: time).headers["Authorization"]
    #expect(header.first?.hasSuffix("Signature=\(example.signature)") == true, "\(header)")
    #expect(
      header.first?.hasPrefix(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders="
      ) == true
    )
  }

  private static let target = [
    ("X-Amz-Target", "DynamoDBStreams_20120810.ListStreams"),
    ("Content-Type", "application/x-amz-json-1.0"), ("User-Agent", "not signed"),
  ]

  /// Signatures that botocore 1.43.11 made at 2026-11-22 08:47:14 UTC.
  @Test(
    "signing gives the signatures that botocore makes",
    arguments: [
      (
        SigningCase(
          name: "a JSON request",
          method: .POST,
          headers: target,
          body: "{}",
          signature: "d448578a87208d2b6629d8e5e97c426b84851a539c19664db638bef89cef541c"
        ), "https://streams.dynamodb.us-east-1.amazonaws.com", "us-east-1", "dynamodb"
      ),
      (
        SigningCase(
          name: "a session token and characters beyond ASCII",
          method: .POST,
          headers: [
            ("X-Amz-Target", "Kinesis_20131202.ListShards"), ("Content-Type", "application/x-amz-json-1.1"),
          ],
          body: "{\"StreamName\":\"bücher \u{1F600}\"}",
          token: "to/ken+with==",
          signature: "0387f9cd459beb54ace37bfaa52aee21e2754f2ee0de2a9587bd3564c4686eb4"
        ), "https://kinesis.eu-central-1.amazonaws.com:443", "eu-central-1", "kinesis"
      ),
      (
        SigningCase(
          name: "a port and an encoded path",
          method: .POST,
          target: "/base%20path/x",
          headers: target,
          body: "{\"Limit\": 1}",
          signature: "f8d75cc59afefed002c3367ea8119efed404c09664426055e556fe235f45f4c3"
        ), "http://127.0.0.1:4566", "us-east-1", "dynamodb"
      ),
      (
        SigningCase(
          name: "a query",
          target: "/?Version=2011-06-15&Action=GetCallerIdentity&a=b%2Fc&a=%20",
          headers: [("My-Header", "  a   b  ")],
          signature: "a1d66cf4ae3e64e02d18c0364af0dea7f64abbc9deed808c18cb0781d9e07900"
        ), "https://sts.us-east-1.amazonaws.com", "us-east-1", "sts"
      ),
    ]
  )
  func peer(example: SigningCase, origin: String, region: String, service: String) throws {
    let time = try #require(Timestamp(iso8601: "2026-11-22T08:47:14Z"))
    let signer = RequestSigner(region: region, service: service)
    let header = signer.sign(example.call(at: origin), as: example.credentials(), at: time)
      .headers["Authorization"]
    #expect(header.first?.hasSuffix("Signature=\(example.signature)") == true, "\(header)")
  }

  @Test("signing again replaces the old signature")
  func again() throws {
    let signer = RequestSigner(region: "us-east-1", service: "service")
    let time = try #require(Timestamp(iso8601: "2015-08-30T12:36:00Z"))
    let credentials = Self.published[1].credentials()
    let once = signer.sign(HTTPCall(url: "https://a.b"), as: credentials, at: time)
    #expect(signer.sign(once, as: credentials, at: time).headers == once.headers)
  }
}

@Suite("Times of AWS")
struct TimestampTests {
  @Test(
    "times are read in all the forms in which services write them",
    arguments: [
      ("2015-08-30T12:36:00Z", 1_440_938_160_000_000), ("2015-08-30T12:36:00.25Z", 1_440_938_160_250_000),
      ("2015-08-30T14:36:00+02:00", 1_440_938_160_000_000), ("2015-08-30T12:36:00UTC", 1_440_938_160_000_000),
      ("1970-01-01T00:00:00Z", 0), ("2000-02-29T23:59:59Z", 951_868_799_000_000),
      ("2100-03-01T00:00:00Z", 4_107_542_400_000_000),
    ]
  )
  func iso8601(text: String, microseconds: Int64) {
    #expect(Timestamp(iso8601: text)?.microsecondsSinceEpoch == microseconds)
  }

  @Test("times that are none are refused", arguments: ["", "tomorrow", "2015-08-30", "2015-08-30T12:36:00"])
  func nonsense(text: String) {
    #expect(Timestamp(iso8601: text) == nil)
    #expect(Timestamp(httpDate: text) == nil)
  }

  @Test("times are written as they were read")
  func roundTrip() {
    #expect(Timestamp(httpDate: "Sun, 30 Aug 2015 12:36:00 GMT")?.basicISO8601 == "20150830T123600Z")
    #expect(Timestamp(iso8601: "2024-02-29T00:00:00Z")?.basicISO8601 == "20240229T000000Z")
    #expect(Timestamp(iso8601: "1969-12-31T23:59:59Z")?.basicISO8601 == "19691231T235959Z")
  }
}
#endif
