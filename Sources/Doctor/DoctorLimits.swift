/// From where on a figure matters.
package struct DoctorLimits: Sendable {
    /// A transaction that is open for so long is told.
    package var longTransaction: Duration = .seconds(5 * 60)
    /// One that is open for so long keeps so much from vacuum that it matters.
    package var harmfulTransaction: Duration = .seconds(60 * 60)
    /// A slot or a standby that holds back so many transactions is told: vacuum does not come for fewer.
    package var heldBackTransactions: Int64 = 10_000
    /// One that holds back so many keeps so much from vacuum that it matters.
    package var harmfulHeldBackTransactions: Int64 = 1_000_000
    /// A change that waits in the journal for so long is not being applied.
    package var oldestChange: Duration = .seconds(30)
    /// So many dead rows in the journal mean that vacuum does not get through.
    package var deadRows: Int64 = 200_000
    /// The share of the notification queue from which on no trigger notifies.
    package var notificationQueue = 0.5
    /// The share of Redis' memory in use from which on it is as good as full.
    package var memory = 0.9
    /// Clocks that differ by more make logs hard to read.
    package var clockDifference: Duration = .seconds(5)

    package init() {}
}
