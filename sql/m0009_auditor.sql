-- The role of an auditor that holds cached entries against the database: what it reads of Freshet, and nothing that it could change.
--
-- It also loads what readers load, so grant its login SELECT on the application's tables, as you do for readers:
--     GRANT freshet_auditor TO app_auditor;
--     GRANT SELECT ON workflow_engine_workflow, workflow_engine_detectorworkflow TO app_auditor;
--
-- Needs: CREATEROLE unless the role exists already.
-- Locks: ACCESS SHARE at most; nothing waits.

DO $$
BEGIN
    -- As in m0001: roles belong to the cluster, and another database's installer may be first.
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.rolname = 'freshet_auditor') THEN
        BEGIN
            CREATE ROLE freshet_auditor NOLOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END IF;
END
$$;

SET LOCAL ROLE freshet_owner;

GRANT USAGE ON SCHEMA freshet TO freshet_auditor;
GRANT SELECT ON freshet.change, freshet.attachment TO freshet_auditor;
GRANT EXECUTE ON FUNCTION freshet.identity() TO freshet_auditor;
