/// Who leads: the session that holds one advisory lock of the database.
///
/// The lock is tried, never waited for: a waiting statement would hold back vacuum for as long as the standby stands by. It is
/// the session's, so it ends with it; that a leader which lost its session does no harm is not the lock's doing but the
/// mark's, see ``PassPlan``.
package enum Leadership {
    /// The key of the lock, the bytes of "freshlea" as a number; installers take another, "freshet".
    ///
    /// A constant: a database has one journal, and a journal one leader, whatever namespaces its workers were told.
    package static let advisoryLockKey: Int64 = 0x6672_6573_686c_6561
}
