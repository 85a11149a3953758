/// How often a worker looks, which may be changed while it runs: from its next step on.
package struct WorkerIntervals: Sendable, Hashable {
    /// How often the journal is looked at, and the lease renewed, without a notification.
    package var poll: Duration
    /// How often a standby tries to lead.
    package var leadership: Duration

    package init(poll: Duration, leadership: Duration) {
        self.poll = poll
        self.leadership = leadership
    }
}
