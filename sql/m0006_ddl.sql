-- Optional: event triggers that journal DDL on the attached tables, so that even a change which the triggers cannot
-- see and the worker has not looked for yet (a column retyped, a table swapped, a trigger disabled for a moment)
-- invalidates everything with the commit that made it. Without them the worker notices at its next pass, by
-- fingerprint.
--
-- Installed by freshet.attach_ddl_trigger(), which needs a superuser (or what a hosted Postgres gives instead of
-- one). Locks: none on tables of the application. Every DDL command of the listed kinds, and every DROP, runs the
-- function: it looks at the catalogs, and fails the command only if the journal cannot be written.

SET LOCAL ROLE freshet_owner;

CREATE FUNCTION freshet.ddl_changed() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = freshet, pg_temp AS $function$
DECLARE
    subject_changed text;
BEGIN
    BEGIN
        IF TG_EVENT = 'sql_drop' THEN
            SELECT pg_catalog.min(a.subject) INTO subject_changed
            FROM pg_catalog.pg_event_trigger_dropped_objects() AS d
            JOIN freshet.attachment AS a
                ON a.schema_name = d.address_names[1] AND a.table_name = d.address_names[2]
            WHERE d.object_type IN ('table', 'table column', 'trigger', 'policy');
        ELSE
            -- A table by the attached name, or one that bears our triggers (it may just have been renamed).
            SELECT pg_catalog.min(COALESCE(a.subject, pg_catalog.split_part(t.tgname, '_', 2))) INTO subject_changed
            FROM pg_catalog.pg_event_trigger_ddl_commands() AS d
            LEFT JOIN pg_catalog.pg_trigger AS changed
                ON changed.oid = d.objid AND d.classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass
            JOIN pg_catalog.pg_class AS c
                ON c.oid = changed.tgrelid OR c.oid = d.objid AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
            JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
            LEFT JOIN freshet.attachment AS a ON a.schema_name = n.nspname AND a.table_name = c.relname
            LEFT JOIN (
                pg_catalog.pg_trigger AS t
                JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
                JOIN pg_catalog.pg_namespace AS pn ON pn.oid = p.pronamespace AND pn.nspname = 'freshet'
            ) ON t.tgrelid = c.oid
            WHERE a.subject IS NOT NULL OR pn.oid IS NOT NULL;
        END IF;
    EXCEPTION WHEN OTHERS THEN
        RAISE LOG 'freshet: a DDL command could not be looked at: % (%)', SQLERRM, SQLSTATE;
        subject_changed := 'namespace';
    END;
    IF subject_changed IS NOT NULL THEN
        PERFORM freshet.journal(subject_changed, 'ddl');
    END IF;
END
$function$;
COMMENT ON FUNCTION freshet.ddl_changed() IS 'Event trigger function: journals DDL on the attached tables.';

-- True if anything was changed.
CREATE FUNCTION freshet.attach_ddl_trigger() RETURNS boolean
LANGUAGE plpgsql SET search_path = freshet, pg_temp AS $function$
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock(28836227677971828);
    IF (
        SELECT pg_catalog.count(*) = 2
        FROM pg_catalog.pg_event_trigger AS e
        WHERE e.evtname IN ('freshet_ddl', 'freshet_drop') AND e.evtenabled = 'A'
    ) THEN
        RETURN false;
    END IF;
    PERFORM freshet.detach_ddl_trigger();
    CREATE EVENT TRIGGER freshet_ddl ON ddl_command_end
        WHEN TAG IN ('ALTER TABLE', 'CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'CREATE TRIGGER', 'ALTER TRIGGER')
        EXECUTE FUNCTION freshet.ddl_changed();
    CREATE EVENT TRIGGER freshet_drop ON sql_drop EXECUTE FUNCTION freshet.ddl_changed();
    ALTER EVENT TRIGGER freshet_ddl ENABLE ALWAYS;
    ALTER EVENT TRIGGER freshet_drop ENABLE ALWAYS;
    RETURN true;
END
$function$;
COMMENT ON FUNCTION freshet.attach_ddl_trigger() IS 'Installs the event triggers that journal DDL. Needs a superuser.';

CREATE FUNCTION freshet.detach_ddl_trigger() RETURNS boolean
LANGUAGE plpgsql SET search_path = freshet, pg_temp AS $function$
DECLARE
    item record;
    dropped boolean := false;
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock(28836227677971828);
    FOR item IN
        SELECT e.evtname FROM pg_catalog.pg_event_trigger AS e WHERE e.evtname IN ('freshet_ddl', 'freshet_drop')
    LOOP
        EXECUTE pg_catalog.format('DROP EVENT TRIGGER %I', item.evtname);
        dropped := true;
    END LOOP;
    RETURN dropped;
END
$function$;
COMMENT ON FUNCTION freshet.detach_ddl_trigger() IS 'Removes the event triggers that journal DDL.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA freshet FROM PUBLIC;
