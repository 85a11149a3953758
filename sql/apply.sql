-- One migration, for psql. Included by install.sql, which sets `migration` (the name) and `content` (the bytes of
-- the file). The ledger is read after the lock was granted and in a statement of its own, so in READ COMMITTED it
-- shows what an installer before us committed.

BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SELECT pg_catalog.pg_advisory_xact_lock(28836227677971828) \g /dev/null
-- From here on, rather fail than wait behind somebody's long transaction and stop everyone behind us. Run it again
-- then.
SET LOCAL lock_timeout = '5s';

SELECT pg_catalog.to_regclass('freshet.migration') IS NOT NULL AS has_ledger \gset
\set recorded ''
\if :has_ledger
    SELECT COALESCE((SELECT m.checksum FROM freshet.migration AS m WHERE m.name = :'migration'), '') AS recorded \gset
\endif
SELECT
    pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(:'content', 'UTF8')), 'hex') AS checksum,
    :'content' = '' AS is_missing
\gset
SELECT :'recorded' = '' AS is_new, :'recorded' NOT IN ('', :'checksum') AS is_edited,
    pg_catalog.set_config('freshet.migration', :'migration', true) AS migration
\gset

\if :is_missing
    DO $$
    BEGIN
        RAISE EXCEPTION 'migration % cannot be read', pg_catalog.current_setting('freshet.migration')
            USING HINT = 'Start psql in the folder sql or in the one above it.';
    END
    $$;
\elif :is_edited
    DO $$
    BEGIN
        RAISE EXCEPTION 'migration % was edited after it was applied', pg_catalog.current_setting('freshet.migration')
            USING HINT = 'Restore the file as it was, and put what should change into a new migration.';
    END
    $$;
\elif :is_new
    \set file :migration '.sql'
    \ir :file
    INSERT INTO freshet.migration (name, checksum) VALUES (:'migration', :'checksum');
    \echo applied :migration
\endif
COMMIT;
