-- Which tables are attached, and whether their triggers still are as attached.
--
-- Tables are remembered by schema-qualified name, never by OID: after a migration that copies a table and swaps the
-- names, the name is what the application writes, and an OID would go on watching the old copy.
--
-- Locks: everything here is new; nothing waits.

SET LOCAL ROLE freshet_owner;

CREATE TABLE freshet.attachment (
    subject            text PRIMARY KEY CHECK (subject IN ('detector', 'workflow', 'link')),
    schema_name        name NOT NULL,
    table_name         name NOT NULL,
    id_column          name,
    environment_column name,
    detector_column    name,
    workflow_column    name,
    level              text NOT NULL CHECK (level IN ('statement', 'row')),
    -- Each calls the function freshet.<name without the leading "freshet_">().
    trigger_names      text[] NOT NULL,
    CONSTRAINT attachment_columns CHECK (
        CASE subject
            WHEN 'detector' THEN id_column IS NOT NULL
                AND environment_column IS NULL AND detector_column IS NULL AND workflow_column IS NULL
            WHEN 'workflow' THEN id_column IS NOT NULL AND environment_column IS NOT NULL
                AND detector_column IS NULL AND workflow_column IS NULL
            WHEN 'link' THEN detector_column IS NOT NULL AND workflow_column IS NOT NULL
                AND id_column IS NULL AND environment_column IS NULL
        END
    )
);
COMMENT ON TABLE freshet.attachment IS 'The attached tables. Written by freshet.attach() and freshet.detach() only.';
GRANT SELECT ON freshet.attachment TO freshet_worker;

-- Always three rows, one a subject, so that bool_and(ok) answers for all. The catalogs are read as ordinary tables,
-- by name and without casts to regclass, so a query that reads the journal and this view sees both in one snapshot.
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
    c.oid IS NOT NULL AND t.missing IS NULL AND t.disabled IS NULL AS triggers_enabled
FROM (VALUES ('detector'), ('workflow'), ('link')) AS s (subject)
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
        pg_catalog.string_agg(u.name, ', ' ORDER BY u.place)
            FILTER (WHERE f.atttypid IS NULL OR f.atttypid NOT IN (20, 21, 23)) AS unfit  -- bigint, smallint, integer
    FROM pg_catalog.unnest(ARRAY[a.id_column, a.environment_column, a.detector_column, a.workflow_column])
        WITH ORDINALITY AS u (name, place)
    LEFT JOIN pg_catalog.pg_attribute AS f
        ON f.attrelid = c.oid AND f.attname = u.name AND f.attnum > 0 AND NOT f.attisdropped
    WHERE u.name IS NOT NULL
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
            pg_catalog.format('no %s table is attached; run freshet.attach()', s.subject)
        WHEN c.oid IS NULL THEN
            pg_catalog.format(
                'table %I.%I does not exist; if it has another name now, run freshet.detach() and attach that',
                a.schema_name, a.table_name
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
                'triggers missing on %I.%I: %s; run freshet.attach() again', a.schema_name, a.table_name, t.missing
            )
        WHEN t.disabled IS NOT NULL THEN
            pg_catalog.format(
                'triggers not enabled ALWAYS on %I.%I: %s; run freshet.attach() again',
                a.schema_name, a.table_name, t.disabled
            )
        WHEN k.unfit IS NOT NULL THEN
            pg_catalog.format(
                'columns of %I.%I renamed or no longer integers: %s; run freshet.attach() with the columns of today',
                a.schema_name, a.table_name, k.unfit
            )
        WHEN a.level = 'statement'
            AND EXISTS (SELECT FROM pg_catalog.pg_subscription_rel AS r WHERE r.srrelid = c.oid)
        THEN
            pg_catalog.format(
                'a subscription writes %I.%I, which fires no statement triggers; '
                'run freshet.attach() with level => ''row''',
                a.schema_name, a.table_name
            )
        -- About the role that asks. The detector table is not read by the worker.
        WHEN s.subject <> 'detector' AND pg_catalog.row_security_active(c.oid) THEN
            pg_catalog.format(
                'row-level security hides rows of %I.%I from role %s; ALTER ROLE %3$I BYPASSRLS',
                a.schema_name, a.table_name, CURRENT_USER
            )
    END AS problem
) AS w;
COMMENT ON VIEW freshet.attached IS
    'Three rows: each attached table, whether its triggers are as attached, and what is wrong.';
GRANT SELECT ON freshet.attached TO freshet_worker;
