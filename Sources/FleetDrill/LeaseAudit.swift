import LibPQ

/// A trigger on the lease table that writes down every change of a lease, whoever makes it: an account of what
/// was accepted that does not depend on any worker.
package struct LeaseAudit: Sendable {
  /// A lease before and after one change.
  package struct Change: Sendable {
    /// Microseconds since 1970, by the database's clock.
    package var at: Int64
    package var shard: String
    package var oldOwner: Int64?
    package var newOwner: Int64?
    package var oldEpoch: Int64
    package var newEpoch: Int64
    package var oldCheckpoint: String
    package var newCheckpoint: String
    /// Whether the checkpoint moved back.
    package var wentBack: Bool
  }

  private let pool: PQPool

  package init(_ pool: PQPool) {
    self.pool = pool
  }

  package func install() async throws {
    try await pool.execute(
      """
      CREATE TABLE lease_audit (
        id bigint GENERATED ALWAYS AS IDENTITY, at bigint NOT NULL, application text NOT NULL, shard text NOT NULL,
        old_owner bigint, new_owner bigint, old_epoch bigint NOT NULL, new_epoch bigint NOT NULL,
        old_checkpoint text NOT NULL, new_checkpoint text NOT NULL, went_back boolean NOT NULL)
      """
    )
    try await pool.execute(
      """
      CREATE FUNCTION audit_lease() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
      BEGIN
        INSERT INTO lease_audit (
          at, application, shard, old_owner, new_owner, old_epoch, new_epoch, old_checkpoint, new_checkpoint, went_back)
        VALUES (
          (date_part('epoch', clock_timestamp()) * 1000000)::bigint, NEW.application, NEW.shard_id, OLD.owner, NEW.owner,
          OLD.epoch, NEW.epoch, OLD.checkpoint, NEW.checkpoint,
          (tidemark_leases.checkpoint_rank(NEW.checkpoint), NEW.sub_sequence_number)
            < (tidemark_leases.checkpoint_rank(OLD.checkpoint), OLD.sub_sequence_number));
        RETURN NULL;
      END $$
      """
    )
    try await pool.execute(
      "CREATE TRIGGER audit AFTER UPDATE ON tidemark_leases.lease FOR EACH ROW EXECUTE FUNCTION audit_lease()"
    )
  }

  /// - Parameter application: whose leases; those of all if it is left out.
  package func changes(of application: String? = nil) async throws -> [Change] {
    let rows = try await pool.query(
      """
      SELECT at, shard, old_owner, new_owner, old_epoch, new_epoch, old_checkpoint, new_checkpoint, went_back
      FROM lease_audit WHERE application = coalesce(\(application), application) ORDER BY id
      """
    )
    return try rows.map { row in
      let (at, shard, oldOwner, newOwner, oldEpoch, newEpoch, oldCheckpoint, newCheckpoint, wentBack) =
        try row.decode((Int64, String, Int64?, Int64?, Int64, Int64, String, String, Bool).self)
      return Change(
        at: at,
        shard: shard,
        oldOwner: oldOwner,
        newOwner: newOwner,
        oldEpoch: oldEpoch,
        newEpoch: newEpoch,
        oldCheckpoint: oldCheckpoint,
        newCheckpoint: newCheckpoint,
        wentBack: wentBack
      )
    }
  }
}
