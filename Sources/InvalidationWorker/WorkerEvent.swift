public import Keyspace

/// What a worker tells about its work, in the order in which it happens.
public enum WorkerEvent: Sendable {
    /// Another session leads, by its process id in Postgres where that is known; this one stands by.
    ///
    /// Told again when another one leads, and when Postgres answers again.
    case standingBy(leader: Int64?)
    /// This worker leads, and listens.
    case leading
    /// Changes of one cache were claimed, applied to Redis and committed.
    case applied(PassReport)
    /// A pass was committed, whatever it found. Both servers did what they were asked.
    case committed(CommittedPass)
    /// A pass was committed, and the lease was renewed of every cache that nothing is wrong with.
    case vouched
    /// What is visible was applied, but of one cache nothing is promised of the rest, for this reason; without a cache, nothing is
    /// applied either.
    ///
    /// Told once; each ``CommittedPass`` says whether it is still so.
    case distrusting(cache: String?, reason: String)
    /// A server does not do what it is asked. The worker tries again, and tells this once until it succeeds.
    case failing(server: Server, error: String)
    /// The servers of a worker.
    public enum Server: String, Sendable {
        case postgres, redis
    }
}

/// What one pass that was committed says of the caches.
public struct CommittedPass: Sendable, Hashable {
    /// The caches whose lease was renewed, by their names in Postgres.
    public var vouched: Set<String>
    /// By cache, why nothing is promised of it.
    public var distrust: [String: String]
    /// How many rows of the journal it saw; those that it applied are gone.
    public var rowCount: Int64
    /// From the observation of the heads, which is what a promise is about, to the COMMIT.
    public var duration: Duration

    package init(vouched: Set<String>, distrust: [String: String], rowCount: Int64, duration: Duration) {
        self.vouched = vouched
        self.distrust = distrust
        self.rowCount = rowCount
        self.duration = duration
    }
}

/// What one pass that was not empty did for one cache.
public struct PassReport: Sendable {
    /// One change of the journal, in a reader's words.
    public struct ChangeSummary: Sendable, Hashable {
        /// The table, by the part that it plays in the cache: `detector`, `workflow`, `link`, …; or `entry`, `namespace`.
        public var subject: String
        /// `insert`, `update`, `delete`, `truncate`, `invalidate`, `drift`, `ddl`, `escalation`, `attach` or `detach`.
        public var operation: String
        /// How many rows the statement touched.
        public var rowCount: Int64
        /// The writer's `application_name`.
        public var applicationName: String?
        /// The role that the writer logged in as.
        public var userName: String?
        /// When the trigger ran, in microseconds since 1970 by the clock of Postgres; nil where the journal does not say.
        public var changedAtMicroseconds: Int64?
        /// When the change committed, by the same clock; nil where `track_commit_timestamp` is off, or Postgres has forgotten.
        public var committedAtMicroseconds: Int64?
        /// What this change alone invalidates; nil where it takes the changes of the pass together to say, or where they are
        /// too many to tell apart: then ``PassReport/scopes`` says what all of them did.
        public var scopes: ScopeSet?
    }

    /// Where the cache lives.
    public var namespace: CacheNamespace
    /// The changes; empty where the backlog was collapsed into one change of the namespace.
    public var changes: [ChangeSummary]
    /// How many rows of the journal were claimed that concern the cache.
    public var rowCount: Int64
    /// What they invalidate, whether or not anybody had cached it.
    public var scopes: ScopeSet
    /// Buckets that were reset because their dataset was not the one that Postgres knows.
    public var resetBuckets: [Int]
    /// How many generations were raised: those of things that nobody had cached need not be.
    public var bumpCount: Int64
    /// From the observation of the heads to the COMMIT.
    public var duration: Duration
    /// When everything was invalidated, in microseconds since 1970 by the clock of Postgres, to within the way of a reply from there.
    ///
    /// What is subtracted from it (``ChangeSummary/changedAtMicroseconds``) is of the same clock, whatever that of the worker says.
    /// Nil where the clock of Postgres is not known.
    public var invalidatedAtMicroseconds: Int64?
}
