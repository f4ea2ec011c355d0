import ArgumentParser
import BenchmarkSupport

@main
struct LeaseBenchmarks: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measures what the lease protocol costs, each figure beside its limit or its peer.",
    discussion: "Every scenario starts a private PostgreSQL. Build with -c release.",
    subcommands: [
      RenewalBenchmark.self, CheckpointBenchmark.self, PlannerBenchmark.self, PlanRoundBenchmark.self,
      IdleShardsBenchmark.self, RightsBenchmark.self, StreamsBenchmark.self,
    ]
  )
}
