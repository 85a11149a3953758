-- Removes Freshet from this database: triggers, event triggers, schema, and the roles if no other database uses them.
--
--     psql -X -1 -v ON_ERROR_STOP=1 -f sql/uninstall.sql
--
-- One transaction: all or nothing. Nothing to do is not an error. Stop the workers first. Readers go on: for the lease and
-- the degraded limit they may still answer what they have cached, from then on they load from Postgres.
--
-- Locks: ACCESS EXCLUSIVE on the attached tables, as freshet.detach() takes them: in short tries, never queueing.

DO $$
DECLARE
    unwanted text;
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock(28836227677971828);
    -- From here on, rather fail than wait: whoever waited would hold the application's tables. Run it again then.
    PERFORM pg_catalog.set_config('lock_timeout', '200ms', true);
    IF pg_catalog.to_regnamespace('freshet') IS NULL THEN
        RETURN;
    END IF;
    IF pg_catalog.to_regprocedure('freshet.detach_ddl_trigger()') IS NOT NULL THEN
        PERFORM freshet.detach_ddl_trigger();
    END IF;
    IF pg_catalog.to_regprocedure('freshet.detach_caches(text[], integer)') IS NOT NULL THEN
        PERFORM freshet.detach_caches(ARRAY(SELECT c.name FROM freshet.cache AS c));
    END IF;
    DROP SCHEMA freshet CASCADE;

    -- Another database of the cluster may have Freshet too, and one may lack CREATEROLE: then the roles stay.
    FOREACH unwanted IN ARRAY ARRAY[
        'freshet_auditor', 'freshet_reader', 'freshet_worker', 'freshet_owner'
    ] LOOP
        BEGIN
            EXECUTE pg_catalog.format('DROP ROLE IF EXISTS %I', unwanted);
        EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN
            RAISE NOTICE 'role % stays: %', unwanted, SQLERRM;
        END;
    END LOOP;
END
$$;
