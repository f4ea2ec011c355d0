import Logging
import Tidemark

#if AWS
import TidemarkAWS
#endif

/// Amazon's streams, if this program was built with what reads them.
enum AmazonStreams {
  static func dynamoDB(_ name: String, logger: Logger) throws -> any StreamSource {
    #if AWS
    try DynamoDBStreamsSource(name, logger: logger)
    #else
    throw notBuilt
    #endif
  }

  static func kinesis(_ name: String, logger: Logger) throws -> any StreamSource {
    #if AWS
    try KinesisSource(name, logger: logger)
    #else
    throw notBuilt
    #endif
  }

  #if !AWS
  private static var notBuilt: CommandFailure {
    CommandFailure(
      "This tidemark was built without the package trait AWS, and cannot read Amazon's streams.",
      advice: "Build it with the trait: swift run --traits AWS tidemark …"
    )
  }
  #endif
}
