-- The journal, its settings, and the functions that write it.
--
-- A journal row is written in the transaction that made the change: it commits with it, rolls back with it, and
-- survives whatever the change survives. The worker deletes the rows that it has applied. A row states facts (what
-- changed, which keys, which values before and after), never conclusions: two concurrent transactions, one linking a
-- detector to a workflow, one moving that workflow to another environment, cannot see each other, so neither could
-- conclude rightly.
--
-- One journal serves every cache: a row belongs to one of them, or to all. Which keys and values a cache records, and in
-- which columns of the journal, is part of its declaration: a file of its own among these adds the columns.
--
-- Guarantee: a statement that changed an attached table either has its journal row or fails.
-- Locks: everything here is new; nothing waits.

SET LOCAL ROLE freshet_owner;

CREATE TABLE freshet.change (
    -- For people to refer to. Not commit order, and not unique by constraint (see below).
    id                  bigint GENERATED ALWAYS AS IDENTITY,
    -- The top-level transaction: the worker finds new rows by it, whatever rows others have left behind.
    xid                 xid8 NOT NULL DEFAULT pg_catalog.pg_current_xact_id(),
    changed_at          timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    -- The cache whose triggers or functions wrote it; NULL concerns every cache.
    cache               text,
    -- A table of the cache, by the part it plays there; or something a person asked for. namespace: everything.
    subject             text NOT NULL,
    -- insert, update, delete; invalidate; and, for everything: truncate, drift, ddl, escalation, attach, detach.
    operation           text NOT NULL,
    -- How many keys or pairs are recorded; of an escalation, how many rows the statement touched; else 0.
    row_count           bigint NOT NULL,
    -- A random nonce where the notification of the row carries its facts (see the triggers), else NULL: by it the worker
    -- knows a row that it has heard of. It cannot be guessed before the commit, so nobody can forge a hint for a row to
    -- come, which would pass for heard of when it is claimed.
    hint                uuid,
    -- Who, for people who watch.
    application_name    text DEFAULT pg_catalog.current_setting('application_name'),
    user_name           text DEFAULT SESSION_USER
) WITH (
    -- Filled and emptied all day: vacuum by count, not by share of the table. Never truncate its tail, which would
    -- take an ACCESS EXCLUSIVE lock that writers run into.
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 10000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000,
    autovacuum_vacuum_cost_delay = 0, vacuum_truncate = false,
    toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 2000,
    toast.autovacuum_vacuum_cost_delay = 0, toast.vacuum_truncate = false
);
COMMENT ON TABLE freshet.change IS 'The journal: committed changes that the worker has not applied yet.';

-- A plain index and no unique key: a publication FOR ALL TABLES may carry these rows to a subscriber that has a
-- journal of its own, and must not stop there on a conflict. REPLICA IDENTITY FULL, because without a key such a
-- publication would make the worker's DELETE an error.
CREATE INDEX change_xid ON freshet.change (xid);
ALTER TABLE freshet.change REPLICA IDENTITY FULL;
GRANT SELECT, DELETE ON freshet.change TO freshet_worker;

CREATE TABLE freshet.setting (
    name  text PRIMARY KEY,
    value text NOT NULL,
    -- The trigger functions read these in every transaction of the application: nothing unreadable may get in.
    CONSTRAINT setting_known CHECK (
        CASE name
            WHEN 'notify' THEN value IN ('auto', 'on', 'off')
            WHEN 'hints' THEN value IN ('on', 'off')
            WHEN 'escalation_rows' THEN value ~ '^[1-9][0-9]{0,8}$'
            ELSE false
        END
    )
);
COMMENT ON TABLE freshet.setting IS
    'notify: auto (off where max_prepared_transactions > 0), on, off. '
    'hints: on, off; whether a notification carries the facts of a row with few keys, for every role that listens to read. '
    'escalation_rows: a statement that changes more rows than this, or touches more and seems to, invalidates everything.';
INSERT INTO freshet.setting (name, value) VALUES ('notify', 'auto'), ('hints', 'on'), ('escalation_rows', '10000');
GRANT SELECT ON freshet.setting TO freshet_worker;

-- What the settings come to in this session, one row, so that a writer reads all that it needs in one look.
--
--   hints   whether the notification of a row with few keys carries its facts.
--   notify  whether a change wakes the worker with NOTIFY; the worker asks too, to know how often to poll. In order: the
--           session's freshet.notify (on, off or auto; anything else, and the '' that RESET leaves, counts as not set), then
--           the setting. auto: NOTIFY is an error in a prepared transaction, so off where those are possible.
CREATE VIEW freshet.setting_in_force AS
SELECT
    s.escalation_rows,
    CASE CASE WHEN w.wish IN ('on', 'off', 'auto') THEN w.wish ELSE s.notify END
        WHEN 'on' THEN true
        WHEN 'off' THEN false
        ELSE pg_catalog.current_setting('max_prepared_transactions')::integer = 0
    END AS notify,
    s.hints IS DISTINCT FROM 'off' AS hints
FROM (
    SELECT
        pg_catalog.max(t.value) FILTER (WHERE t.name = 'escalation_rows')::bigint AS escalation_rows,
        pg_catalog.max(t.value) FILTER (WHERE t.name = 'notify') AS notify,
        pg_catalog.max(t.value) FILTER (WHERE t.name = 'hints') AS hints
    FROM freshet.setting AS t
) AS s
CROSS JOIN (SELECT pg_catalog.lower(pg_catalog.current_setting('freshet.notify', true)) AS wish) AS w;
COMMENT ON VIEW freshet.setting_in_force IS 'What the settings come to in this session.';

-- A random token that the worker writes. UNLOGGED: crash recovery and promotion empty it, a clean restart does not.
-- So its absence tells that commits which readers had seen may be gone (synchronous_commit = off), which nothing
-- else does.
CREATE UNLOGGED TABLE freshet.incarnation (
    token     text NOT NULL,
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton)
);
COMMENT ON TABLE freshet.incarnation IS 'At most one row: a token that does not survive a crash or a promotion.';
GRANT SELECT, INSERT, UPDATE, DELETE ON freshet.incarnation TO freshet_worker;

-- What the worker last did, written in the transaction that did it. The same mark is kept in Redis, beside the data:
-- where the two differ, one of the servers has lost something. A cache has a mark of its own, which changes whenever
-- rows that concern it are taken from the journal, by whichever worker: one that does not know the cache leaves a mark
-- which Redis does not have, so that the next one to serve the cache drops everything first.
CREATE TABLE freshet.fence (
    cache    text PRIMARY KEY,
    mark     text,
    triggers text
);
COMMENT ON TABLE freshet.fence IS
    'One row a cache. mark: the worker''s last mark; triggers: fingerprint of the triggers it last acknowledged.';
GRANT SELECT, UPDATE ON freshet.fence TO freshet_worker;

-- For the worker, and for what writes the journal but seldom.
CREATE FUNCTION freshet.notify_enabled() RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = freshet, pg_temp AS $function$
BEGIN
    RETURN (SELECT s.notify FROM freshet.setting_in_force AS s);
END
$function$;
COMMENT ON FUNCTION freshet.notify_enabled() IS 'Whether a change sends NOTIFY freshet_change.';

-- Wakes the worker when the transaction commits. Internal: called by all that write the journal, except for the triggers of
-- tables, which do the same in their own bodies: two calls would cost a statement more than its journal row does.
--
-- The payload is constant (that of a row with a hint is not: see the triggers): duplicates fold within a transaction, and a
-- forged one can cause no more than a needless look at the journal. A full notification queue would fail the writer's
-- commit, so it is left alone while over half full; the worker's poll finds the row.
CREATE FUNCTION freshet.wake() RETURNS void
LANGUAGE plpgsql SET search_path = freshet, pg_temp AS $function$
BEGIN
    IF freshet.notify_enabled() AND pg_catalog.pg_notification_queue_usage() <= 0.5 THEN
        PERFORM pg_catalog.pg_notify('freshet_change', '');
    END IF;
END
$function$;
COMMENT ON FUNCTION freshet.wake() IS 'Wakes the worker when the transaction commits. Internal.';

-- Writes one journal row that names no keys, and wakes the worker. Internal: called by the trigger functions and by
-- the functions below.
--
-- No table but the journal is written and none but freshet.setting is read, so a SERIALIZABLE writer meets no
-- conflict here except with somebody who changes a setting.
CREATE FUNCTION freshet.journal(cache text, subject text, operation text, row_count bigint DEFAULT 0) RETURNS bigint
LANGUAGE plpgsql SET search_path = freshet, pg_temp AS $function$
DECLARE
    change_id bigint;
BEGIN
    INSERT INTO freshet.change AS c (cache, subject, operation, row_count)
    VALUES (journal.cache, journal.subject, journal.operation, journal.row_count)
    RETURNING c.id INTO change_id;
    PERFORM freshet.wake();
    RETURN change_id;
END
$function$;
COMMENT ON FUNCTION freshet.journal(text, text, text, bigint) IS
    'Writes one journal row that names no keys, and wakes the worker. Internal.';

-- For migrations and people. Returns the id of the journal row; it takes effect when the transaction commits. Each
-- cache has functions of its own beside it.
CREATE FUNCTION freshet.invalidate_all() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = freshet, pg_temp AS $function$
BEGIN
    RETURN freshet.journal(NULL, 'namespace', 'invalidate');
END
$function$;
COMMENT ON FUNCTION freshet.invalidate_all() IS 'Invalidates everything in every cache, when the transaction commits.';

-- Which Postgres this is: '<system identifier>/<timeline>/<incarnation token>', the token '-' where there is none,
-- and 'replica' on a server in recovery, where neither the UNLOGGED table nor the current WAL position can be read.
-- The timeline is that of the WAL file being written: pg_control_checkpoint() lags behind a promotion. STABLE: a
-- query that loads data and calls this gets the token of its own snapshot.
CREATE FUNCTION freshet.identity() RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = freshet, pg_temp AS $function$
DECLARE
    timeline_hex text;
BEGIN
    IF pg_catalog.pg_is_in_recovery() THEN
        RETURN 'replica';
    END IF;
    timeline_hex := pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8);
    RETURN pg_catalog.format(
        '%s/%s/%s',
        (SELECT c.system_identifier FROM pg_catalog.pg_control_system() AS c),
        ('x' || timeline_hex)::bit(32)::bigint,
        COALESCE((SELECT i.token FROM freshet.incarnation AS i), '-')
    );
END
$function$;
COMMENT ON FUNCTION freshet.identity() IS
    'system identifier/timeline/incarnation token, or ''replica'' on a server in recovery.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA freshet FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    freshet.identity(),
    freshet.notify_enabled(),
    freshet.invalidate_all()
TO freshet_worker;
GRANT EXECUTE ON FUNCTION freshet.identity() TO freshet_reader;
