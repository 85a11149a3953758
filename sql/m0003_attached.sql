-- What a cache is to Postgres, which tables are attached for it, and whether their triggers still are as attached.
--
-- A cache is declared by rows of three tables, in a migration of its own, together with the columns that it adds to the
-- journal: which tables it watches, which events of them, and which of their columns are journaled and how. Everything
-- else (triggers, attach and detach, the view below) is made from these rows, and names no cache.
--
-- Tables are remembered by schema-qualified name, never by OID: after a migration that copies a table and swaps the
-- names, the name is what the application writes, and an OID would go on watching the old copy.
--
-- Locks: everything here is new; nothing waits.

SET LOCAL ROLE freshet_owner;

CREATE TABLE freshet.cache (
    name        text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9]*$'),
    -- Where an optional cache is not attached, it does not exist; where another is not, that is a problem to be told.
    is_optional boolean NOT NULL,
    -- What attaches it, for messages: the name of a function.
    attach_name text NOT NULL
);
COMMENT ON TABLE freshet.cache IS 'The caches. Written by migrations only.';

CREATE TABLE freshet.cache_table (
    -- The part that a table plays in a cache. Unique among all caches, because triggers are named by it.
    subject text PRIMARY KEY CHECK (subject ~ '^[a-z][a-z_]*$'),
    cache   text NOT NULL REFERENCES freshet.cache,
    -- In which order the tables are given to attach.
    place   smallint NOT NULL,
    -- insert, update, delete: what is journaled. TRUNCATE always is.
    events  text[] NOT NULL CHECK (events <@ ARRAY['insert', 'update', 'delete']),
    -- Whether the worker reads the declared columns, to resolve changes.
    is_read boolean NOT NULL,
    UNIQUE (cache, place)
);
COMMENT ON TABLE freshet.cache_table IS 'The tables that a cache watches. Written by migrations only.';

CREATE TABLE freshet.cache_column (
    subject      text NOT NULL REFERENCES freshet.cache_table,
    -- The part that the column plays in its table.
    role         text NOT NULL CHECK (role ~ '^[a-z][a-z_]*$'),
    place        smallint NOT NULL,
    -- key: tells the rows of a statement apart, and a row without it is in nobody's cache. Journaled as itself.
    -- value: journaled as it was before and as it is after. A table without values tells of an UPDATE only whose rows
    -- it changed: those of the keys before and those of the keys after.
    part         text NOT NULL CHECK (part IN ('key', 'value')),
    -- integer: smallint, integer or bigint. text: text or varchar, compared byte for byte.
    kind         text NOT NULL CHECK (kind IN ('integer', 'text')),
    -- The column of freshet.change, an array; of a value there are two, with old_ and new_ in front.
    journaled_as name NOT NULL,
    -- The parameter of the function that attaches, for messages.
    parameter    text NOT NULL,
    PRIMARY KEY (subject, role),
    UNIQUE (subject, place)
);
COMMENT ON TABLE freshet.cache_column IS 'The columns that a cache reads. Written by migrations only.';

CREATE TABLE freshet.attachment (
    subject       text PRIMARY KEY REFERENCES freshet.cache_table,
    cache         text NOT NULL REFERENCES freshet.cache,
    schema_name   name NOT NULL,
    table_name    name NOT NULL,
    -- The names of the declared columns, by role.
    columns       jsonb NOT NULL,
    level         text NOT NULL CHECK (level IN ('statement', 'row')),
    -- Each calls the function freshet.<name without the leading "freshet_">().
    trigger_names text[] NOT NULL
);
COMMENT ON TABLE freshet.attachment IS
    'The attached tables. Written by the functions that attach and detach only.';
GRANT SELECT ON freshet.attachment TO freshet_worker;

-- A row for each table of each cache that is attached or ought to be, so that bool_and(ok) answers for all. The catalogs
-- are read as ordinary tables, by name and without casts to regclass, so a query that reads the journal and this view
-- sees both in one snapshot.
--
--   fingerprint  changes whenever the table or one of its triggers was replaced, rewritten, disabled or enabled in
--                between, even where all is well again now: oid, relfilenode, the transaction that last wrote the table's
--                row (renaming it and back, or giving it its first child and taking it away, does), all its columns (one
--                that takes another's name over changes what every row says, and writes none), and of each trigger its
--                state and the transactions that last wrote its row and its function.
--   problem      the first thing that is wrong and its mend, one line; NULL where ok.
CREATE VIEW freshet.attached AS
SELECT
    s.subject,
    c.oid AS relation_oid,
    c.relfilenode AS filenode,
    w.problem IS NULL AS ok,
    pg_catalog.concat_ws(':', s.subject, c.oid, c.xmin, c.relfilenode, k.fingerprint, t.fingerprint) AS fingerprint,
    w.problem,
    CASE WHEN a.subject IS NOT NULL THEN pg_catalog.format('%I.%I', a.schema_name, a.table_name) END AS table_name,
    c.oid IS NOT NULL AND t.missing IS NULL AND t.disabled IS NULL AS triggers_enabled,
    s.cache
FROM freshet.cache AS h
JOIN freshet.cache_table AS s ON s.cache = h.name
LEFT JOIN freshet.attachment AS a ON a.subject = s.subject
LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname = a.schema_name
LEFT JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = a.table_name
-- The columns that the triggers and the worker read.
CROSS JOIN LATERAL (
    SELECT
        (SELECT pg_catalog.md5(pg_catalog.string_agg(
            pg_catalog.format('%s=%I/%s/%s', o.attnum, o.attname, o.atttypid, o.xmin), ',' ORDER BY o.attnum))
        FROM pg_catalog.pg_attribute AS o
        WHERE o.attrelid = c.oid AND o.attnum > 0) AS fingerprint,
        pg_catalog.string_agg(u.name, ', ' ORDER BY u.place) FILTER (WHERE NOT u.fits) AS unfit,
        pg_catalog.string_agg(DISTINCT CASE u.kind WHEN 'integer' THEN 'integers' ELSE u.kind END, ' or ')
            FILTER (WHERE NOT u.fits) AS wanted
    FROM (
        SELECT
            a.columns ->> d.role AS name, d.place, d.kind,
            CASE d.kind
                WHEN 'integer' THEN COALESCE(f.atttypid IN (20, 21, 23), false)  -- bigint, smallint, integer
                ELSE COALESCE(f.atttypid IN (25, 1043) AND l.collisdeterministic, false)  -- text, varchar
            END AS fits
        FROM freshet.cache_column AS d
        LEFT JOIN pg_catalog.pg_attribute AS f
            ON f.attrelid = c.oid AND f.attname = (a.columns ->> d.role)::pg_catalog.name
            AND f.attnum > 0 AND NOT f.attisdropped
        LEFT JOIN pg_catalog.pg_collation AS l ON l.oid = f.attcollation
        WHERE d.subject = a.subject
    ) AS u
) AS k
-- The triggers that attach made.
CROSS JOIN LATERAL (
    SELECT
        pg_catalog.string_agg(
            pg_catalog.format('%s=%s/%s/%s', u.name, g.tgenabled, g.xmin, p.xmin), ',' ORDER BY u.place
        ) AS fingerprint,
        pg_catalog.string_agg(u.name, ', ' ORDER BY u.place) FILTER (WHERE p.oid IS NULL) AS missing,
        pg_catalog.string_agg(u.name, ', ' ORDER BY u.place) FILTER (WHERE g.tgenabled <> 'A') AS disabled
    FROM pg_catalog.unnest(a.trigger_names) WITH ORDINALITY AS u (name, place)
    LEFT JOIN pg_catalog.pg_trigger AS g
        ON g.tgrelid = c.oid AND g.tgname = u.name AND NOT g.tgisinternal
    LEFT JOIN pg_catalog.pg_namespace AS pn ON pn.nspname = 'freshet'
    LEFT JOIN pg_catalog.pg_proc AS p
        ON p.oid = g.tgfoid AND p.pronamespace = pn.oid
        AND p.proname = pg_catalog.substr(u.name, pg_catalog.length('freshet_') + 1)
) AS t
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN a.subject IS NULL THEN
            pg_catalog.format('no %s table is attached; run %s()', s.subject, h.attach_name)
        WHEN c.oid IS NULL THEN
            pg_catalog.format(
                'table %I.%I does not exist; if it has another name now, run %s() and attach that',
                a.schema_name, a.table_name, pg_catalog.replace(h.attach_name, '.attach', '.detach')
            )
        WHEN c.relkind <> 'r' OR c.relispartition
            OR EXISTS (SELECT FROM pg_catalog.pg_inherits AS i WHERE c.oid IN (i.inhrelid, i.inhparent))
        THEN
            pg_catalog.format(
                '%I.%I is no longer an ordinary table without partitions or inheritance, so writes can pass its '
                'triggers by; make it one',
                a.schema_name, a.table_name
            )
        WHEN t.missing IS NOT NULL THEN
            pg_catalog.format(
                'triggers missing on %I.%I: %s; run %s() again',
                a.schema_name, a.table_name, t.missing, h.attach_name
            )
        WHEN t.disabled IS NOT NULL THEN
            pg_catalog.format(
                'triggers not enabled ALWAYS on %I.%I: %s; run %s() again',
                a.schema_name, a.table_name, t.disabled, h.attach_name
            )
        WHEN k.unfit IS NOT NULL THEN
            pg_catalog.format(
                'columns of %I.%I renamed or no longer %s: %s; run %s() with the columns of today',
                a.schema_name, a.table_name, k.wanted, k.unfit, h.attach_name
            )
        WHEN a.level = 'statement'
            AND EXISTS (SELECT FROM pg_catalog.pg_subscription_rel AS r WHERE r.srrelid = c.oid)
        THEN
            pg_catalog.format(
                'a subscription writes %I.%I, which fires no statement triggers; '
                'run %s() with level => ''row''',
                a.schema_name, a.table_name, h.attach_name
            )
        -- About the role that asks, which is the worker's.
        WHEN s.is_read AND pg_catalog.row_security_active(c.oid) THEN
            pg_catalog.format(
                'row-level security hides rows of %I.%I from role %s; ALTER ROLE %3$I BYPASSRLS',
                a.schema_name, a.table_name, CURRENT_USER
            )
    END AS problem
) AS w
WHERE NOT h.is_optional OR EXISTS (SELECT FROM freshet.attachment AS o WHERE o.cache = h.name);
COMMENT ON VIEW freshet.attached IS
    'A row for each attached table: whether its triggers are as attached, and what is wrong.';
GRANT SELECT ON freshet.attached TO freshet_worker;
