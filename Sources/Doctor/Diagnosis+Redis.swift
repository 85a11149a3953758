import Keyspace

extension Diagnosis {
    /// The server.
    func server(_ redis: RedisFacts) -> [Finding] {
        var found: [Finding] = []
        found += info(.redisVersion, redis) { [version($0, redis)] }
        found += info(.redisRole, redis, role)
        found += info(.redisCluster, redis, cluster)
        found.append(
            redis.scriptError.map { error in
                Finding(
                    .redisScripts,
                    .problem,
                    "EVAL is refused: \(error)",
                    why: "everything that is written is written by scripts",
                    mend: .advice(
                        "let user \(redis.user.value ?? "?") call EVAL and EVALSHA, or use a Redis that runs scripts"
                    )
                )
            } ?? Finding(.redisScripts, .well, "scripts run")
        )
        found += check(.redisRights, redis.rights) { [rights($0, redis)] }
        found += check(.redisExcessRights, redis.rights) { [excessRights($0, redis)] }
        found += info(.redisMemory, redis) { [memory($0, redis)] }
        found += info(.redisEviction, redis) { [eviction($0, redis)] }
        found += info(.redisPersistence, redis) { persistence($0, redis) }
        found.append(encryption(redis.address))
        found += check(.redisListpack, redis.settings) { [listpack($0, redis)] }
        found += check(.redisClock, redis.clock) { [clock(.redisClock, "Redis", $0.difference, $0.error)] }
        return found
    }

    private func info(
        _ check: Check,
        _ redis: RedisFacts,
        _ judge: ([String: String]) -> [Finding]
    ) -> [Finding] {
        switch redis.info {
        case .known(let info): judge(info)
        case .unknown(let reason): [unchecked(check, reason, mend: permission("+info", redis))]
        }
    }

    private func permission(_ rule: String, _ redis: RedisFacts) -> Mend {
        let user = RedisFacts.Address.shellWord(redis.user.value ?? "freshet_doctor")
        return .shell("\(redis.address.commandLine) ACL SETUSER \(user) \(rule)")
    }

    private func version(_ info: [String: String], _ redis: RedisFacts) -> Finding {
        let text = info["redis_version"] ?? ""
        let parts = text.split(separator: ".").compactMap { Int($0) }
        guard let major = parts.first else {
            return unchecked(.redisVersion, "INFO tells no redis_version")
        }
        let minor = parts.count > 1 ? parts[1] : 0
        if major < 5 {
            return Finding(
                .redisVersion,
                .problem,
                "Redis \(text)",
                why: "the scripts ask for the time before they write, which Redis allows from 5.0 on",
                mend: .advice("upgrade Redis to 7.0 or later")
            )
        }
        if (major, minor) < (6, 2) {
            return Finding(
                .redisVersion,
                .advice,
                "Redis \(text)",
                why: "near caches need 6.2 or later, and access rules 6.0",
                mend: .advice("upgrade Redis to 7.0 or later")
            )
        }
        return Finding(.redisVersion, .well, "Redis \(text)")
    }

    private func role(_ info: [String: String]) -> [Finding] {
        guard info["role"] != "master" else { return [Finding(.redisRole, .well, "a primary")] }
        let primary = [info["master_host"], info["master_port"]].compactMap { $0 }.joined(separator: ":")
        return [
            Finding(
                .redisRole,
                .problem,
                "this Redis is a replica" + (primary.isEmpty ? "" : " of \(primary)"),
                why: "it takes no writes: nothing can be invalidated or filled here",
                mend: .advice("give --redis the primary's address" + (primary.isEmpty ? "" : ", redis://\(primary)"))
            )
        ]
    }

    private func cluster(_ info: [String: String]) -> [Finding] {
        guard info["cluster_enabled"] == "1" else { return [Finding(.redisCluster, .well, "a single server")] }
        return [
            Finding(
                .redisCluster,
                .problem,
                "cluster mode is on",
                why: "Freshet speaks to one server; other nodes' answers (MOVED) end each call",
                mend: .advice("give --redis a Redis with cluster-enabled no")
            )
        ]
    }

    private func rights(_ rights: [RedisFacts.Right], _ redis: RedisFacts) -> Finding {
        let needed = rights.filter { $0.purpose == .worker }
        let missing = needed.filter { !$0.isGranted }.map(\.command)
        let user = redis.user.value ?? "this user"
        guard !missing.isEmpty else {
            return Finding(.redisRights, .well, "user \(user) may do all that a worker does")
        }
        // A user that may read and write nothing at all is not the worker's.
        func mayDoOne(of commands: Set<Substring>) -> Bool {
            needed.contains { $0.isGranted && commands.contains($0.command.prefix { $0 != " " }) }
        }
        guard mayDoOne(of: ["HSET", "HDEL", "UNLINK", "SET", "PEXPIRE", "XADD"]) || !mayDoOne(of: ["HMGET"]) else {
            return unchecked(
                .redisRights,
                "user \(user) only reads; to check a worker's rights, give --redis the worker's user"
            )
        }
        return Finding(
            .redisRights,
            .problem,
            subject: user,
            "user \(user) may not: \(Figure.list(missing))",
            why: "a worker that logs in so cannot invalidate",
            mend: .shell(setUser(user, redis))
        )
    }

    private func setUser(_ user: String, _ redis: RedisFacts) -> String {
        let rules = RedisAccess.worker.rules(prefix: facts.namespace.prefix).map(RedisFacts.Address.shellWord)
        return (["\(redis.address.commandLine) ACL SETUSER \(RedisFacts.Address.shellWord(user))"] + rules)
            .joined(separator: " ")
    }

    private func excessRights(_ rights: [RedisFacts.Right], _ redis: RedisFacts) -> Finding {
        let excess = rights.filter { $0.purpose == .stranger && $0.isGranted }.map(\.command)
        let user = redis.user.value ?? "this user"
        guard !excess.isEmpty else {
            return Finding(.redisExcessRights, .well, "user \(user) may do nothing to others' keys or the server")
        }
        let why = "whoever gets hold of this login can delete and read everything; Freshet needs its own keys only"
        guard user == "default" else {
            return Finding(
                .redisExcessRights,
                .advice,
                subject: user,
                "user \(user) may: \(Figure.list(excess))",
                why: why,
                mend: .shell(setUser(user, redis))
            )
        }
        return Finding(
            .redisExcessRights,
            .advice,
            subject: user,
            "the default user is used, and may: \(Figure.list(excess))",
            why: why,
            mend: .advice(
                "make the users of deploy/redis/freshet.acl, and give --redis the worker's, freshet_worker"
            )
        )
    }

    private func memory(_ info: [String: String], _ redis: RedisFacts) -> Finding {
        let used = info["used_memory"].flatMap { Int64($0) } ?? 0
        let limit = info["maxmemory"].flatMap { Int64($0) } ?? 0
        guard limit > 0 else {
            // Room for what there is to double, and a round figure: a megabyte for each half of one.
            let megabytes = max(256, (used / 524_288 / 256 + 1) * 256)
            return Finding(
                .redisMemory,
                .advice,
                "\(Figure.bytes(used)) in use, and no maxmemory",
                why: "a cache may grow until the system ends Redis",
                mend: .shell("\(redis.address.commandLine) CONFIG SET maxmemory \(megabytes)mb")
            )
        }
        let text = "\(Figure.bytes(used)) of \(Figure.bytes(limit)) in use"
        let isFull = Double(used) > limits.memory * Double(limit)
        guard isFull, info["maxmemory_policy"] == "noeviction" else { return Finding(.redisMemory, .well, text) }
        return Finding(
            .redisMemory,
            .problem,
            "\(text), and nothing may be evicted",
            why: "a full Redis refuses fills, so readers load from Postgres each time; invalidation goes on",
            mend: .shell("\(redis.address.commandLine) CONFIG SET maxmemory-policy volatile-lru")
        )
    }

    private func eviction(_ info: [String: String], _ redis: RedisFacts) -> Finding {
        let policy = info["maxmemory_policy"] ?? "?"
        let evicted = info["evicted_keys"].flatMap { Int64($0) } ?? 0
        let text = "\(policy), \(evicted) keys evicted since it started"
        let hasLimit = (info["maxmemory"].flatMap { Int64($0) } ?? 0) > 0
        guard policy == "noeviction", hasLimit else {
            return Finding(.redisEviction, policy == "noeviction" ? .information : .well, text)
        }
        return Finding(
            .redisEviction,
            .advice,
            text,
            why: "once full, Redis refuses fills; every key of Freshet's but the head of a cache has a time to live, "
                + "so it may evict by that",
            mend: .shell("\(redis.address.commandLine) CONFIG SET maxmemory-policy volatile-lru")
        )
    }

    private func persistence(_ info: [String: String], _ redis: RedisFacts) -> [Finding] {
        var found: [Finding] = []
        if info["aof_last_write_status"] == "err" {
            found.append(
                Finding(
                    .redisPersistence,
                    .problem,
                    "the last write of the append-only file failed",
                    why:
                        "Redis refuses every write then (MISCONF), so nothing can be invalidated; make room on its disk first",
                    mend: .shell("\(redis.address.commandLine) BGREWRITEAOF")
                )
            )
        }
        if info["rdb_last_bgsave_status"] == "err" { found.append(failedSnapshot(redis)) }
        if info["loading"] == "1" {
            found.append(
                Finding(
                    .redisPersistence,
                    .problem,
                    "Redis is reading its dataset",
                    why: "it answers nothing until it has",
                    mend: .advice("wait; if it takes long, its snapshot is large")
                )
            )
        }
        guard found.isEmpty else { return found }
        let append = info["aof_enabled"] == "1" ? "on" : "off"
        let save = redis.settings.value?["save"]
        let snapshots = save.map { $0.isEmpty ? "off" : "on (save \($0))" } ?? "unknown"
        return [
            Finding(
                .redisPersistence,
                .information,
                "snapshots \(snapshots), append-only file \(append); either way a restart costs no correctness, only what was cached"
            )
        ]
    }

    /// Whether Redis writes on after a snapshot that failed is a setting, which not everybody may read.
    private func failedSnapshot(_ redis: RedisFacts) -> Finding {
        let mend = Mend.shell("\(redis.address.commandLine) BGSAVE")
        guard let settings = redis.settings.value, let stops = settings["stop-writes-on-bgsave-error"] else {
            return Finding(
                .redisPersistence,
                .problem,
                "the last snapshot failed; what follows from it, stop-writes-on-bgsave-error, may not be read",
                why: "unless that is no, Redis refuses every write then (MISCONF), so nothing can be invalidated; "
                    + "make room on its disk first",
                mend: mend
            )
        }
        // Without times to save at, a snapshot was somebody's wish, and nothing follows from it either.
        guard stops == "yes", settings["save"]?.isEmpty == false else {
            return Finding(
                .redisPersistence,
                .advice,
                "the last snapshot failed; Redis goes on writing (stop-writes-on-bgsave-error \(stops), "
                    + "save \(settings["save"].map { $0.isEmpty ? "off" : $0 } ?? "unknown"))",
                why: "a restart costs no correctness, but more of what was cached; its disk may be full",
                mend: mend
            )
        }
        return Finding(
            .redisPersistence,
            .problem,
            "the last snapshot failed, and stop-writes-on-bgsave-error is yes",
            why: "Redis refuses every write then (MISCONF), so nothing can be invalidated; make room on its disk first",
            mend: mend
        )
    }

    private func encryption(_ address: RedisFacts.Address) -> Finding {
        if address.isEncrypted { return Finding(.redisEncryption, .well, "TLS") }
        if address.isLocal { return Finding(.redisEncryption, .well, "none, and none needed on this machine") }
        return Finding(
            .redisEncryption,
            .advice,
            "\(address.url) is on another machine, and the connection is not encrypted",
            why: "passwords and what is cached can be read and changed on the way",
            mend: .advice("let Redis speak TLS (tls-port), and give --redis rediss://…")
        )
    }

    private func listpack(_ settings: [String: String], _ redis: RedisFacts) -> Finding {
        guard let text = settings["hash-max-listpack-value"], let value = Int64(text) else {
            return Finding(.redisListpack, .information, "this Redis has no hash-max-listpack-value")
        }
        guard value < 1_024 else { return Finding(.redisListpack, .well, "hash-max-listpack-value = \(value)") }
        return Finding(
            .redisListpack,
            .advice,
            "hash-max-listpack-value = \(value)",
            why: "with 1024 small entries take a third less memory",
            mend: .shell("\(redis.address.commandLine) CONFIG SET hash-max-listpack-value 1024")
        )
    }

    // MARK: Heads

    /// The head of each cache, and what it and Postgres say of each other.
    func heads(_ redis: RedisFacts) -> [Finding] {
        redis.heads.sorted { $0.key < $1.key }.flatMap { cache, head in
            heads(cache, head, redis)
        }
    }

    private func name(_ cache: String) -> CacheNamespace {
        cache == Self.firstCache ? facts.namespace : facts.namespace.sibling(named: cache)
    }

    private func heads(
        _ cache: String,
        _ head: Checked<RedisFacts.CacheHead>,
        _ redis: RedisFacts
    ) -> [Finding] {
        let name = name(cache)
        let all: [Check] = [.cacheHead, .cacheSwitch, .cacheLease, .cachePostgres, .cacheMark]
        guard case .known(let head) = head else {
            if case .unknown(let reason) = head { return all.map { unchecked($0, subject: "\(name)", reason) } }
            return []
        }
        let key = name.headKey(bucket: 0)
        if head.isDamaged {
            return [
                Finding(
                    .cacheHead,
                    .problem,
                    subject: "\(name)",
                    "something that is not Freshet's lies under the key \(key)",
                    why: "readers find no head, and load; a worker removes it when it writes there",
                    mend: .shell("\(redis.address.commandLine) UNLINK \(RedisFacts.Address.shellWord(key))")
                )
            ] + all.dropFirst().map { unchecked($0, subject: "\(name)", "there is no head") }
        }
        let postgres = facts.postgres.facts
        let mend = mendOfWorker(postgres)
        guard let generation = head.head.generation else {
            return [
                Finding(
                    .cacheHead,
                    .problem,
                    subject: "\(name)",
                    "\(name) has no generation: no worker and no reader has been here",
                    why: "nothing is cached, and nobody vouches for anything",
                    mend: mend
                )
            ] + all.dropFirst().map { unchecked($0, subject: "\(name)", "there is no head") }
        }
        var found = [Finding(.cacheHead, .well, subject: "\(name)", "\(name), generation \(generation)")]
        found.append(
            head.head.isSwitchedOff
                ? Finding(
                    .cacheSwitch,
                    .problem,
                    subject: "\(name)",
                    "\(name) is switched off",
                    why: "readers load everything from Postgres",
                    mend: .shell("freshet cache on")
                )
                : Finding(.cacheSwitch, .well, subject: "\(name)", "on")
        )
        found.append(lease(head, name, mend))
        found.append(identity(head, name, postgres))
        found.append(mark(cache, head, name, postgres, mend))
        return found
    }

    /// What lets passes be made again: a worker, or a look at the one that leads.
    func mendOfWorker(_ postgres: PostgresFacts?) -> Mend {
        guard let leader = postgres?.leader.value ?? nil else { return .shell("freshet run") }
        return .advice(
            "look at the log of the worker that leads, backend \(leader.processIdentifier): are its --redis, --prefix and "
                + "--namespace these?"
        )
    }

    private func lease(_ head: RedisFacts.CacheHead, _ name: CacheNamespace, _ mend: Mend) -> Finding {
        var trusted = head.head
        trusted.isSwitchedOff = false
        guard let vouched = head.head.vouched, let lease = head.head.lease else {
            return Finding(
                .cacheLease,
                .problem,
                subject: "\(name)",
                "no worker has ever vouched for \(name)",
                why: "readers take entries only while they are young",
                mend: mend
            )
        }
        let age = head.now.since(vouched)
        if trusted.trust(at: head.now) == .healthy {
            return Finding(
                .cacheLease,
                .well,
                subject: "\(name)",
                "vouched for \(Figure.age(age.inSeconds)) ago, holds \(Figure.age(lease.inSeconds))"
            )
        }
        guard age >= .zero else {
            return Finding(
                .cacheLease,
                .problem,
                subject: "\(name)",
                "\(name) is vouched for \(Figure.age(-age.inSeconds)) ahead of Redis' own clock",
                why:
                    "the clock of Redis was set back; readers take entries only while they are young, until the next pass",
                mend: mend
            )
        }
        return Finding(
            .cacheLease,
            .problem,
            subject: "\(name)",
            "\(name) was last vouched for \(Figure.age(age.inSeconds)) ago, which held \(Figure.age(lease.inSeconds))",
            why: "readers take entries only while they are young",
            mend: mend
        )
    }

    private func identity(
        _ head: RedisFacts.CacheHead,
        _ name: CacheNamespace,
        _ postgres: PostgresFacts?
    ) -> Finding {
        guard let postgres else { return unchecked(.cachePostgres, subject: "\(name)", "Postgres cannot be asked") }
        let ours: String
        switch postgres.identity {
        case .known(let identity): ours = identity
        case .unknown(let reason): return unchecked(.cachePostgres, subject: "\(name)", reason)
        }
        guard let recorded = head.head.postgres else {
            return Finding(.cachePostgres, .information, subject: "\(name)", "no Postgres is recorded for \(name)")
        }
        guard recorded != ours else { return Finding(.cachePostgres, .well, subject: "\(name)", "this one, \(ours)") }
        guard let this = PostgresIdentity(ours), let that = PostgresIdentity(recorded) else {
            return unchecked(
                .cachePostgres,
                subject: "\(name)",
                "identities \(ours) and \(recorded) cannot be compared"
            )
        }
        guard this.system == that.system else {
            return Finding(
                .cachePostgres,
                .problem,
                subject: "\(name)",
                "\(name) is vouched for by a worker of another Postgres (\(recorded)) than this one (\(ours))",
                why: "two databases take turns in one namespace, and each drops what the other cached",
                mend: .advice("give each a --prefix or a Redis of its own")
            )
        }
        guard !this.isBehind(that) else {
            return Finding(
                .cachePostgres,
                .problem,
                subject: "\(name)",
                "this Postgres is on timeline \(this.timeline), and \(name) has seen timeline \(that.timeline)",
                why: "another was promoted over this one: it is an old primary, and no worker leads here",
                mend: .advice(
                    "give --postgres the new primary's address, or all of them with target_session_attrs=read-write"
                )
            )
        }
        return Finding(
            .cachePostgres,
            .information,
            subject: "\(name)",
            "this Postgres has crashed, or was promoted, since \(name) was vouched for (\(recorded), now \(ours)): "
                + "the next pass drops what is cached"
        )
    }

    private func mark(
        _ cache: String,
        _ head: RedisFacts.CacheHead,
        _ name: CacheNamespace,
        _ postgres: PostgresFacts?,
        _ mend: Mend
    ) -> Finding {
        guard let postgres else { return unchecked(.cacheMark, subject: "\(name)", "Postgres cannot be asked") }
        guard case .known(let marks) = postgres.marks else {
            if case .unknown(let reason) = postgres.marks { return unchecked(.cacheMark, subject: "\(name)", reason) }
            return unchecked(.cacheMark, subject: "\(name)", "the mark cannot be read")
        }
        let remembered = (marks[cache] ?? nil) ?? ""
        guard remembered != head.mark ?? "" else {
            return Finding(.cacheMark, .well, subject: "\(name)", "the same in Redis and in Postgres")
        }
        guard head.isMarkSteady else {
            return unchecked(.cacheMark, subject: "\(name)", "passes were under way each time the marks were compared")
        }
        return Finding(
            .cacheMark,
            .problem,
            subject: "\(name)",
            "the mark of \(name) in Redis is not the one that Postgres remembers",
            why: "one of the two has lost something, or belongs to another; the next pass drops what is cached there",
            mend: mend
        )
    }

    /// Whether a cache has one mark in Redis and another in Postgres.
    static func marksDiffer(
        _ marks: Checked<[String: String?]>,
        _ heads: [String: Checked<RedisFacts.CacheHead>]
    ) -> Bool {
        guard case .known(let marks) = marks else { return false }
        return heads.contains { cache, head in
            guard case .known(let head) = head, !head.isDamaged else { return false }
            return ((marks[cache] ?? nil) ?? "") != (head.mark ?? "")
        }
    }
}
