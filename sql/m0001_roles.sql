-- Roles, the schema and the ledger of migrations.
--
-- Every migration is run once, whole, in one READ COMMITTED transaction, by `freshet migrate` or by install.sql
-- (psql). Both hold the same transaction-level advisory lock while they look at the ledger and apply a file, so that
-- any number of installers end with one schema. No migration touches a table of the application; freshet.attach()
-- does.
--
-- Needs: CREATE on the database, and CREATEROLE unless the three roles exist already. Postgres 14 or later.
-- Locks: none that an application could notice; everything here is new.

DO $$
BEGIN
    IF pg_catalog.current_setting('server_version_num')::integer < 140000 THEN
        RAISE EXCEPTION 'Postgres % is too old for freshet', pg_catalog.current_setting('server_version')
            USING ERRCODE = 'feature_not_supported', HINT = 'Use Postgres 14 or later.';
    END IF;
END
$$;

-- Roles belong to the cluster, not to the database: another database's installer may create them between our look
-- and our CREATE ROLE. It then waits for that transaction and finds the name taken, which is as good as having
-- created it.
--   freshet_owner   owns everything in the schema; the trigger functions run as it. It can read no application table.
--   freshet_worker  what the worker may do. Grant it to the worker's login role.
--   freshet_reader  what an application that looks workflows up may do. Grant it to the application's login roles.
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['freshet_owner', 'freshet_worker', 'freshet_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.rolname = wanted) THEN
            BEGIN
                EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;
            END;
        END IF;
    END LOOP;

    -- To hand objects to the owner one must be a member of it. A superuser always is.
    IF NOT pg_catalog.pg_has_role(CURRENT_USER, 'freshet_owner', 'USAGE') THEN
        BEGIN
            EXECUTE pg_catalog.format('GRANT freshet_owner TO %I', CURRENT_USER);
        EXCEPTION WHEN unique_violation THEN
            NULL;
        END;
    END IF;
END
$$;

CREATE SCHEMA IF NOT EXISTS freshet AUTHORIZATION freshet_owner;

-- From here on, and in every later migration, objects belong to freshet_owner.
SET LOCAL ROLE freshet_owner;

COMMENT ON SCHEMA freshet IS
    'Freshet: a journal of committed changes to three tables, read by the worker that invalidates a cache in Redis.';
GRANT USAGE ON SCHEMA freshet TO freshet_worker, freshet_reader;

-- The ledger. The checksum is the SHA-256, in hex, of the bytes of the file: an applied file that was edited since is
-- refused by name.
CREATE TABLE freshet.migration (
    name       text PRIMARY KEY,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    applied_by text NOT NULL DEFAULT SESSION_USER
);
COMMENT ON TABLE freshet.migration IS 'Migrations applied: file name without .sql, and SHA-256 of its bytes.';
GRANT SELECT ON freshet.migration TO freshet_worker;
