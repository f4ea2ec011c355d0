#if AWS
@testable import AWSRequests
@testable import TidemarkAWS

extension AWSConfiguration {
  /// For a server that stands for a service, with an access key.
  init(endpoint url: String) {
    self.init()
    endpoint.url = url
    endpoint.region = "eu-central-1"
    credentials.provider = StaticCredentialsProvider(
      AWSCredentials(accessKeyID: "AKID", secretAccessKey: "SECRET")
    )
  }
}
#endif
