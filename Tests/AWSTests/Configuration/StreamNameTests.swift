#if AWS
import Testing
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

@Suite("The names of streams")
struct StreamNameTests {
  private static let table = "arn:aws:dynamodb:eu-central-1:123456789012:table/orders"
  private static let stream = "\(table)/stream/2026-06-01T12:00:00.000"

  @Test("DynamoDB's are a table's name, its ARN, or a stream's")
  func dynamoDB() throws {
    let name = try DynamoDBStreamName("my_orders.v-2")
    #expect(name == .tableName("my_orders.v-2") && name.isTable && name.tableName == "my_orders.v-2")
    #expect(name.arn == nil && name.region == nil)
    let table = try DynamoDBStreamName(Self.table)
    #expect(table == .table(arn: Self.table) && table.isTable && table.tableName == "orders")
    #expect(table.arn == Self.table && table.region == "eu-central-1")
    let stream = try DynamoDBStreamName(Self.stream)
    #expect(stream == .stream(arn: Self.stream) && !stream.isTable && stream.tableName == "orders")
    #expect(stream.region == "eu-central-1" && stream.text == Self.stream)
    #expect(DynamoDBStreamName.table(ofStream: Self.stream) == Self.table)
    let china = "arn:aws-cn:dynamodb:cn-north-1:123456789012:table/orders"
    #expect(try DynamoDBStreamName(china).region == "cn-north-1")
  }

  @Test(
    "DynamoDB's are nothing else",
    arguments: [
      "", "ab", "two words", String(repeating: "a", count: 256), "\(table)/index/by-date", "\(table)/stream",
      "arn:aws:dynamodb:eu-central-1:123456789012:orders",
      "arn:aws:kinesis:eu-central-1:123456789012:stream/orders",
      "arn:aws:dynamodb:eu-central-1",
    ]
  )
  func noDynamoDB(text: String) {
    let error = #expect(throws: TidemarkError.self) { try DynamoDBStreamName(text) }
    #expect(error?.code == .invalidConfiguration && error?.advice?.contains("/stream/LABEL") == true)
  }

  @Test("Kinesis' are a name or an ARN")
  func kinesis() throws {
    let arn = "arn:aws:kinesis:eu-central-1:123456789012:stream/orders"
    #expect(try StreamReference(arn).parameter == .arn(arn) && StreamReference(arn).region == "eu-central-1")
    for name in ["o", "Orders_v2.a-b", String(repeating: "a", count: 128)] {
      #expect(try StreamReference(name).parameter == .name(name) && StreamReference(name).region == nil)
    }
    let tooLong = String(repeating: "a", count: 129)
    for text in [tooLong, "ö", "a/b", "arn:aws:kinesis:eu-central-1:123456789012:consumer/c"] {
      #expect(throws: TidemarkError.self) { try StreamReference(text) }
    }
  }
}
#endif
