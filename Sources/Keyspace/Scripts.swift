// The scripts through which anything is written. Each runs atomically and touches the keys of one bucket only.
//
// Rules they share:
// * Nothing is made up in the script: nonces and times to live come from the caller, so that a script has the same
//   effect wherever it is replicated to. The one exception is TIME, which `fill` reads to refuse a late load.
// * Large numbers are formatted with %.0f: `..` and tostring turn microseconds into 1.78e+15.
// * In a full Redis only the first write of a script is checked, and HDEL and UNLINK pass that check. `apply` therefore
//   begins with an HDEL, so that invalidation works when nothing else does; the others are allowed to fail.
// * One poisoned key (another type, garbage) is unlinked and counted; it never stops the rest.

/// A script of the contract: its name in logs and metrics, and its Lua source.
public struct KeyspaceScript: Hashable, Sendable {
    /// A short name.
    public let name: String
    /// Lua 5.1, as Redis runs it.
    public let source: String
}

extension KeyspaceScript {
    /// Gives the namespace its first generation where it has none, and answers with the current one.
    ///
    /// KEYS: head. ARGV: generation.
    public static let seedNamespace = KeyspaceScript(
        name: "seed-namespace",
        source: wellFormed + """
            local answer = redis.pcall('HGET', KEYS[1], 'gen')
            if type(answer) == 'table' then redis.call('UNLINK', KEYS[1]) end
            if not wellFormed(answer) then redis.call('HSET', KEYS[1], 'gen', ARGV[1]) end
            return redis.call('HGET', KEYS[1], 'gen')
            """
    )

    /// Gives an entity its first generation where it has none, and answers with the current one.
    ///
    /// KEYS: entity. ARGV: generation, time to live in ms.
    public static let seed = KeyspaceScript(
        name: "seed",
        source: wellFormed + """
            local answer = redis.pcall('HGET', KEYS[1], 'g')
            if wellFormed(answer) then return answer end
            -- Poisoned: what hangs on a generation that nobody can read is valid for nobody. Only where there is something: an
            -- UNLINK is allowed in a full Redis, and would let the writes behind it pass as well, for a key that takes room.
            if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('UNLINK', KEYS[1]) end
            redis.call('HSET', KEYS[1], 'g', ARGV[1])
            redis.call('PEXPIRE', KEYS[1], ARGV[2])
            return ARGV[1]
            """
    )

    /// Says for each variant of an entity whether the caller shall load it, or somebody else does already; gives the entity
    /// its first generation where it has none.
    ///
    /// A claim is a key of its own, `<entity key>:c:<variant>`, that expires by itself. It names the generations that it was made
    /// under, so a bump makes it void: who loads since before the bump cannot store what others could wait for.
    ///
    /// KEYS: entity, then the claim of each variant. ARGV: generation for an entity without one, time to live of an entity in
    /// ms, namespace generation, claimant, time to live of a claim in ms, then for each variant its text and '1' where an entry
    /// that has come in the meantime is worth reading, '' where not. Answers the entity generation, and for each variant its
    /// generation ('' for none yet) and `mine` or `held`. Such an entry is held, too: its load has ended.
    public static let claim = KeyspaceScript(
        name: "claim",
        source: wellFormed + """
            local entity = redis.pcall('HGET', KEYS[1], 'g')
            if not wellFormed(entity) then
                -- As in seed.
                if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('UNLINK', KEYS[1]) end
                entity = ARGV[1]
                redis.call('HSET', KEYS[1], 'g', entity)
                redis.call('PEXPIRE', KEYS[1], ARGV[2])
            end

            -- The generation as it stands in an entry; see EntryCodec.
            local function bytes(generation)
                if generation == '' then return string.rep('\\0', 16) end
                local counter, nonce = string.match(generation, '^(%d+)%.(%x+)$')
                local text = struct.pack('<I8', tonumber(counter))
                for place = 15, 1, -2 do text = text .. string.char(tonumber(string.sub(nonce, place, place + 1), 16)) end
                return text
            end

            local answer = {entity}
            for index = 2, #KEYS do
                local name = ARGV[2 * index + 2]
                local variant = redis.call('HGET', KEYS[1], 'g:' .. name) or ''
                local entry = ARGV[2 * index + 3] == '1' and redis.call('HGET', KEYS[1], 'e:' .. name)
                local isReadable = entry and wellFormed(ARGV[3]) and (variant == '' or wellFormed(variant))
                local guard = ARGV[3] .. ' ' .. entity .. ' ' .. variant .. ' '
                local held = redis.pcall('GET', KEYS[index])
                local verdict = 'mine'
                if isReadable and string.sub(entry, 3, 50) == bytes(ARGV[3]) .. bytes(entity) .. bytes(variant) then
                    verdict = 'held'
                elseif type(held) == 'string' and held ~= guard .. ARGV[4] and string.sub(held, 1, #guard) == guard then
                    verdict = 'held'
                else
                    -- A full Redis refuses: then everybody loads.
                    redis.pcall('SET', KEYS[index], guard .. ARGV[4], 'PX', ARGV[5])
                end
                answer[#answer + 1] = variant
                answer[#answer + 1] = verdict
            end
            return answer
            """
    )

    /// Takes claims back whose load has failed, so that nobody waits for it.
    ///
    /// KEYS: claims. ARGV: what each was set to. Answers how many there were.
    public static let release = KeyspaceScript(
        name: "release",
        source: """
            local count = 0
            for index, key in ipairs(KEYS) do
                if redis.pcall('GET', key) == ARGV[index] then count = count + redis.call('UNLINK', key) end
            end
            return count
            """
    )

    /// Stores an entry if nothing that guards it has moved since its load began, takes the claim back, and answers what it did.
    ///
    /// KEYS: head, entity, claim. ARGV: namespace generation, entity generation, variant generation ('' for none yet),
    /// variant, entry, time of the stamp in µs, greatest age of the stamp in µs, time to live in ms, greatest number of
    /// variants, what the claim was set to ('' for none). The answers are the raw values of ``FillOutcome``.
    public static let fill = KeyspaceScript(
        name: "fill",
        source: """
            local function outcome()
                if redis.call('HGET', KEYS[1], 'gen') ~= ARGV[1] then return 'namespace' end
                if redis.call('HGET', KEYS[2], 'g') ~= ARGV[2] then return 'entity' end
                if (redis.call('HGET', KEYS[2], 'g:' .. ARGV[4]) or '') ~= ARGV[3] then return 'variant' end
                local time = redis.call('TIME')
                local age = time[1] * 1000000 + time[2] - tonumber(ARGV[6])
                if age < 0 or age > tonumber(ARGV[7]) then return 'late' end
                local field = 'e:' .. ARGV[4]
                -- More than a bump leaves (see apply), by one field for each variant: there is room for them after any bump.
                if redis.call('HLEN', KEYS[2]) > 3 * tonumber(ARGV[9])
                    and redis.call('HEXISTS', KEYS[2], field) == 0 then return 'crowded' end
                -- The first write, so a full Redis refuses it here.
                local stored = redis.pcall('HSET', KEYS[2], field, ARGV[5])
                if type(stored) == 'table' then return stored end
                redis.call('PEXPIRE', KEYS[2], ARGV[8])
                return 'stored'
            end

            local answer = outcome()
            if ARGV[10] ~= '' and redis.pcall('GET', KEYS[3]) == ARGV[10] then redis.call('UNLINK', KEYS[3]) end
            return answer
            """
    )

    /// The worker's pass over one bucket: compares the head with what the worker believes, bumps, and vouches.
    ///
    /// KEYS: head, the key that tells of a bump of the namespace, then the entities to bump. ARGV:
    ///
    ///  1. the mark that the head must have ('' for none);
    ///  2. the Postgres identity that the head must have ('' for none);
    ///  3. the mark to set;
    ///  4. the Postgres identity to set;
    ///  5. the time to vouch for in µs, '' to vouch for nothing;
    ///  6. the lease in ms;
    ///  7. the snapshot that has been applied, as `xmin:xmax:xip`, '' to leave it, which goes where the identity changes;
    ///  8. '1' to bump the namespace;
    ///  9. the nonce of this run;
    /// 10. the time to live of an entity in ms;
    /// 11. the greatest number of variants of an entity;
    /// 12. the ``HintMark`` that the head must have reached, because what was bumped up to it is left out; '' for none;
    /// 13. and further, one for each entity: `*` to bump the entity, else the variants to bump, separated by commas.
    ///
    /// Answers `{'applied', gen, entities, variants, absent, damaged}`, or `{'fenced', mark, pg}` where the head is not as
    /// expected and nothing was changed. One nonce serves a whole run, because no key is bumped twice in it.
    public static let apply = KeyspaceScript(
        name: "apply",
        source: bumping + """
            local head = KEYS[1]
            local opening = redis.pcall('HDEL', head, '-')
            if type(opening) == 'table' and opening.err then
                if not string.find(opening.err, 'WRONGTYPE', 1, true) then return opening end
                redis.call('UNLINK', head)
            end

            -- What is no printable ASCII no worker has written: it counts as none, or nobody could ever expect it.
            local function signature(field)
                local text = redis.call('HGET', head, field)
                return text and not string.find(text, '[^ -~]') and text or ''
            end
            local mark, postgres = signature('mark'), signature('pg')
            if mark ~= ARGV[1] or postgres ~= ARGV[2] then return {'fenced', mark, postgres} end
            if ARGV[12] ~= '' then
                local chain, number = string.match(redis.call('HGET', head, 'hinted') or '', '^(%x+) (%d+)$')
                local known, least = string.match(ARGV[12], '^(%x+) (%d+)$')
                if chain ~= known or tonumber(number) < tonumber(least) then return {'fenced', mark, postgres} end
            end

            local raised = raising(ARGV[9])
            local entities, variants, absent, damaged = bump(3, 10, raised, ARGV[10], ARGV[11])

            local generation = redis.call('HGET', head, 'gen')
            if ARGV[8] == '1' or not generation then
                generation = raised(generation)
                redis.call('HSET', head, 'gen', generation)
                -- The head changes in every pass. This tells who keeps entries in memory that now none of them is valid.
                redis.call('SET', KEYS[2], generation)
            end
            -- Of another Postgres it would say of transactions there, which have the same numbers, that they were applied.
            if postgres ~= ARGV[4] then redis.call('HDEL', head, 'snapshot') end
            redis.call('HSET', head, 'mark', ARGV[3], 'pg', ARGV[4], 'lease', ARGV[6])
            if ARGV[5] ~= '' then redis.call('HSET', head, 'vouched', ARGV[5]) end
            if ARGV[7] ~= '' then redis.call('HSET', head, 'snapshot', ARGV[7]) end
            return {'applied', generation, entities, variants, absent, damaged}
            """
    )

    /// The worker's bump for a notification that tells what was changed, ahead of the pass that claims the change.
    ///
    /// It promises nothing, so it asks for nothing: an extra bump is always right. But it leaves a ``HintMark``, by which a pass
    /// sees that the dataset holds this bump, and all of the chain before it.
    ///
    /// KEYS: head, then the entities to bump. ARGV: the mark that the chain had ('' for none), the mark to set where the head has
    /// that, the mark to set where it has another, nonce, time to live of an entity in ms, greatest number of variants of an
    /// entity, then for each entity as in ``apply``. Answers the mark that was set, and the entities, variants, absent and damaged.
    public static let hint = KeyspaceScript(
        name: "hint",
        source: bumping + """
            -- A full Redis lets the writes behind it pass. What is no hash the next pass removes.
            local opening = redis.pcall('HDEL', KEYS[1], '-')
            if type(opening) == 'table' and opening.err then return opening end
            local entities, variants, absent, damaged = bump(2, 5, raising(ARGV[4]), ARGV[5], ARGV[6])
            local mark = ARGV[3]
            if ARGV[1] ~= '' and redis.call('HGET', KEYS[1], 'hinted') == ARGV[1] then mark = ARGV[2] end
            redis.call('HSET', KEYS[1], 'hinted', mark)
            return {mark, entities, variants, absent, damaged}
            """
    )

    /// What bumps entities: those of KEYS from a place on, each as the argument so many places behind says.
    private static let bumping = """
        -- Gives generations that follow others: the counter rises by one, with the nonce of the run.
        local function raising(nonce)
            -- Many have the same counter, and reading and writing a number takes as long as changing a key.
            local risen = {}
            return function(current)
                local digits = current and string.match(current, '^%d+') or ''
                local known = risen[digits]
                if not known then
                    local counter = tonumber(digits) or 0
                    -- From 2^53 on a double no longer counts by one.
                    if counter >= 9007199254740992 then counter = 0 end
                    known = string.format('%.0f.%s', counter + 1, nonce)
                    risen[digits] = known
                end
                return known
            end
        end

        local function bump(first, behind, raised, timeToLive, variantsPerEntity)
            local call, pcall, keys, arguments = redis.call, redis.pcall, KEYS, ARGV
            -- A generation for each variant, and an entry. Bumps of variants that nobody asks for leave generations too, so
            -- beyond that the whole entity is bumped: one field is left. Also where all variants have a generation already: fills count on
            -- room after any bump.
            local limit = 2 * tonumber(variantsPerEntity)
            local entities, variants, absent, damaged = 0, 0, 0, 0
            -- The fields that an argument is about. Many entities have the same.
            local fields = {}
            local function named(spec)
                local known = fields[spec]
                if known then return known end
                known = {generations = {'g'}, entries = {}}
                if spec ~= '*' then
                    for variant in string.gmatch(spec, '[^,]+') do
                        known.generations[#known.generations + 1] = 'g:' .. variant
                        known.entries[#known.entries + 1] = 'e:' .. variant
                    end
                end
                fields[spec] = known
                return known
            end
            -- The keys that are removed, many by one command, and the generations that entities then begin with.
            local gone, risenKeys, risenGenerations = {}, {}, {}
            for index = first, #keys do
                local key, spec = keys[index], arguments[index + behind]
                local names = named(spec)
                local generations, entries = names.generations, names.entries
                local current = pcall('HMGET', key, unpack(generations))
                if current.err then
                    gone[#gone + 1] = key
                    damaged = damaged + 1
                elseif not current[1] then
                    absent = absent + 1
                elseif spec == '*' or call('HLEN', key) + #entries > limit then
                    gone[#gone + 1] = key
                    entities = entities + 1
                    risenKeys[entities], risenGenerations[entities] = key, raised(current[1])
                elseif #entries > 0 then
                    local risen = {}
                    for place = 2, #generations do
                        risen[2 * place - 3] = generations[place]
                        risen[2 * place - 2] = raised(current[place])
                    end
                    call('HDEL', key, unpack(entries))
                    call('HSET', key, unpack(risen))
                    variants = variants + #entries
                end
            end
            for start = 1, #gone, 1000 do
                call('UNLINK', unpack(gone, start, math.min(start + 999, #gone)))
            end
            for place, key in ipairs(risenKeys) do
                call('HSET', key, 'g', risenGenerations[place])
                call('PEXPIRE', key, timeToLive)
            end
            return entities, variants, absent, damaged
        end

        """

    private static let wellFormed = """
        local function wellFormed(generation)
            return type(generation) == 'string' and #generation <= 33
                and string.match(generation, '^[1-9]%d*%.' .. string.rep('[0-9a-f]', 16) .. '$')
        end

        """
}

/// What became of a fill.
///
/// Only `stored` stores; the others are counted and never retried.
public enum FillOutcome: String, Hashable, Sendable, CaseIterable {
    /// The entry was stored.
    case stored
    /// The namespace was bumped, or lost, since the load began.
    case namespace
    /// The entity was bumped, evicted or expired since the load began.
    case entity
    /// The variant was bumped since the load began.
    case variant
    /// The load took longer than ``KeyspaceLimits/fillAge``, or the server's clock was stepped.
    case late
    /// The entity has as many variants as it may have.
    case crowded
}
