import ArgumentParser

@main
struct StreamBenchmarks: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measures what streams cost, each figure beside its limit or its peer.",
    discussion: "Every scenario starts a private PostgreSQL. Build with -c release.",
    subcommands: [
      ReadBenchmark.self, DecodeBenchmark.self, CaptureBenchmark.self, SequencingBenchmark.self,
      LatencyBenchmark.self, SteadyBenchmark.self, ManyBenchmark.self, ManyWorkerCommand.self,
      RotationBenchmark.self,
      DayBenchmark.self,
      LogicalBenchmark.self,
    ]
  )
}
