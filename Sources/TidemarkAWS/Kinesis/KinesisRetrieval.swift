#if AWS
/// How the records of a Kinesis stream come to their reader.
public enum KinesisRetrieval: Sendable, Hashable {
  /// Each shard is asked with `GetRecords`, at most five times a second. All applications that poll a stream share these
  /// calls and 2 MB/s a shard.
  ///
  /// - Parameter interval: the time between two reads of a shard that has nothing more. 1 s in the KCL; at least 200 ms.
  case polling(interval: Duration)

  /// Enhanced fan-out: records are pushed over a connection a shard (`SubscribeToShard`), within some 70 ms, and with
  /// 2 MB/s a shard for this application alone. AWS charges for it by the hour and the gigabyte.
  ///
  /// - Parameter consumerName: under which the application is registered at the stream: 1 to 128 letters, digits, `_`,
  ///   `.` and `-`. It is registered if it is not, and stays so: `DeregisterStreamConsumer` is for the operator who
  ///   retires the application. Two applications with one name take each other's subscriptions away.
  case fanOut(consumerName: String)

  /// Once a second.
  public static let polling = KinesisRetrieval.polling(interval: .seconds(1))

  /// What is wrong with it.
  var violation: String? {
    switch self {
    case .polling(let interval):
      interval < .milliseconds(200)
        ? "The polling interval is \(interval), must be at least 0.2 seconds." : nil
    case .fanOut(let name):
      StreamReference.isName(name)
        ? nil : "'\(name)' is no name of a consumer: 1 to 128 letters, digits, '_', '.' and '-'."
    }
  }
}
#endif
