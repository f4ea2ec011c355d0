import ArgumentParser

@main
struct SourceBenchmarks: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measures what reading the streams of Amazon costs, each figure beside its limit or its peer.",
    discussion: "Every scenario starts a private PostgreSQL and an endpoint. Build with -c release.",
    subcommands: [KinesisBenchmark.self, DynamoDBBenchmark.self, EndpointCommand.self]
  )
}
