-- freshet.attach() and freshet.detach(): putting the triggers on the three tables of the application, and taking
-- them off.
--
-- Both are called by the owner of the tables (or a superuser) who is also a member of freshet_owner, and run with
-- the caller's rights. Both serialise against each other and against migrations with an advisory transaction lock,
-- and both journal a change of everything in their own transaction: attach waits out every writer that the triggers
-- did not see.
--
-- Locks on the application's tables, held until the caller's transaction ends, so call them in one of their own:
--   attach  SHARE ROW EXCLUSIVE on all three: writers wait, readers do not. Where a trigger must be dropped (another
--           level than before) as detach. Where nothing differs: none.
--   detach  ACCESS EXCLUSIVE on all three, which is what DROP TRIGGER takes.
-- They are taken all at once and NOWAIT, never queued for: whoever queues stops all who come later, and locking one
-- after another makes some writer the victim of a deadlock. A try that fails gives back what it got and is repeated
-- after about 10 ms, lock_tries times; then the call fails with SQLSTATE 55P03 and says who is in the way.

SET LOCAL ROLE freshet_owner;

CREATE FUNCTION freshet.lock_tables(tables text[], mode text, tries integer) RETURNS void
LANGUAGE plpgsql SET search_path = freshet, pg_temp AS $function$
DECLARE
    names constant text := pg_catalog.array_to_string(tables, ', ');
    holders text;
BEGIN
    FOR attempt IN 1 .. GREATEST(tries, 1) LOOP
        -- A subtransaction: failing in it releases the locks that the same try did get, and leaves the caller's
        -- transaction as it was.
        BEGIN
            EXECUTE pg_catalog.format('LOCK TABLE %s IN %s MODE NOWAIT', names, mode);
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            NULL;
        END;
        PERFORM pg_catalog.pg_sleep(0.005 + pg_catalog.random() * 0.01);
    END LOOP;

    SELECT pg_catalog.string_agg(DISTINCT l.pid::text, ', ')
    INTO holders
    FROM pg_catalog.pg_locks AS l
    JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE l.granted
        AND l.locktype = 'relation'
        AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())
        AND l.pid <> pg_catalog.pg_backend_pid()
        AND pg_catalog.format('%I.%I', n.nspname, c.relname) = ANY (tables);
    RAISE EXCEPTION 'could not lock % in % tries', names, tries
        USING ERRCODE = 'lock_not_available',
              DETAIL = pg_catalog.format('Backends holding locks there now: %s.', COALESCE(holders, 'none')),
              HINT = 'Nothing was changed. Call it again when fewer long transactions run, or with more lock_tries.';
END
$function$;
COMMENT ON FUNCTION freshet.lock_tables(text[], text, integer) IS 'Locks tables at once without queueing. Internal.';

-- Refuses a table that the triggers could not watch, saying why and what to do; returns its qualified name.
CREATE FUNCTION freshet.check_table(subject text, relation regclass, columns name[]) RETURNS text
LANGUAGE plpgsql SET search_path = freshet, pg_temp AS $function$
DECLARE
    table_name text;
    kind text;
    facts record;
    wanted name;
    type_oid oid;
BEGIN
    SELECT c.relkind, c.relispartition, c.relpersistence, c.relowner, c.relname, n.nspname
    INTO facts
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid = relation;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the % table is NULL or does not exist', subject
            USING ERRCODE = 'undefined_table', HINT = 'Give the names of the detector, workflow and link tables.';
    END IF;
    table_name := pg_catalog.format('%I.%I', facts.nspname, facts.relname);

    kind := CASE
        WHEN facts.relispartition THEN 'a partition'
        WHEN facts.relkind = 'p' THEN 'partitioned'
        WHEN facts.relkind = 'f' THEN 'a foreign table'
        WHEN facts.relkind = 'v' THEN 'a view'
        WHEN facts.relkind = 'm' THEN 'a materialized view'
        WHEN facts.relkind <> 'r' THEN 'not a table'
        WHEN facts.relpersistence = 't' THEN 'a temporary table'
        WHEN facts.nspname IN ('freshet', 'pg_catalog', 'information_schema') THEN 'not a table of an application'
        WHEN EXISTS (SELECT FROM pg_catalog.pg_inherits AS i WHERE relation IN (i.inhrelid, i.inhparent)) THEN
            'part of table inheritance'
    END;
    IF kind IS NOT NULL THEN
        RAISE EXCEPTION 'the % table % cannot be attached: it is %', subject, table_name, kind
            USING ERRCODE = 'wrong_object_type',
                  HINT = CASE facts.relkind
                      WHEN 'v' THEN 'Attach the table behind the view.'
                      WHEN 'f' THEN 'Attach the table on the server that has it.'
                      ELSE 'Attach an ordinary table. A statement on a partition or a child fires that table''s '
                          'triggers only, so changes would be missed.'
                  END;
    END IF;
    IF NOT pg_catalog.pg_has_role(CURRENT_USER, facts.relowner, 'USAGE') THEN
        RAISE EXCEPTION 'must be owner of table %', table_name
            USING ERRCODE = 'insufficient_privilege',
                  HINT = pg_catalog.format(
                      'Connect as a member of both %I and freshet_owner.', pg_catalog.pg_get_userbyid(facts.relowner)
                  );
    END IF;

    FOREACH wanted IN ARRAY columns LOOP
        SELECT a.atttypid INTO type_oid
        FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = relation AND a.attname = wanted AND a.attnum > 0 AND NOT a.attisdropped;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'column % of the % table % does not exist',
                COALESCE(pg_catalog.quote_ident(wanted), 'NULL'), subject, table_name
                USING ERRCODE = 'undefined_column',
                      HINT = 'Name the columns: freshet.attach(..., detector_id => ..., workflow_id => ..., '
                          'workflow_environment => ..., link_detector => ..., link_workflow => ...).';
        END IF;
        -- bigint, smallint, integer. Not a domain: its cast could fail at any write.
        IF type_oid NOT IN (20, 21, 23) THEN
            RAISE EXCEPTION 'column %.% has type %, not smallint, integer or bigint',
                table_name, pg_catalog.quote_ident(wanted), pg_catalog.format_type(type_oid, NULL)
                USING ERRCODE = 'datatype_mismatch',
                      HINT = 'Freshet''s keys are smallint, integer or bigint, and no domains over them.';
        END IF;
    END LOOP;
    RETURN table_name;
END
$function$;
COMMENT ON FUNCTION freshet.check_table(text, regclass, name[]) IS 'Refuses a table that cannot be attached. Internal.';

-- The worker resolves changes by reading these columns, and no others.
CREATE FUNCTION freshet.worker_may_read(relation regclass, columns name[]) RETURNS boolean
LANGUAGE sql STABLE SET search_path = freshet, pg_temp AS $function$
    SELECT pg_catalog.has_schema_privilege('freshet_worker', c.relnamespace, 'USAGE')
        AND (
            SELECT pg_catalog.bool_and(pg_catalog.has_column_privilege('freshet_worker', c.oid, a.attnum, 'SELECT'))
            FROM pg_catalog.pg_attribute AS a
            WHERE a.attrelid = c.oid AND a.attname = ANY (columns)
        )
    FROM pg_catalog.pg_class AS c
    WHERE c.oid = relation
$function$;
COMMENT ON FUNCTION freshet.worker_may_read(regclass, name[]) IS 'Whether freshet_worker may read them. Internal.';

CREATE FUNCTION freshet.let_worker_read(relation regclass, columns name[]) RETURNS void
LANGUAGE plpgsql SET search_path = freshet, pg_temp AS $function$
DECLARE
    names record;
BEGIN
    SELECT n.oid AS schema_oid, n.nspname, n.nspowner, c.relname
    INTO names
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid = relation;

    EXECUTE pg_catalog.format(
        'GRANT SELECT (%s) ON %I.%I TO freshet_worker',
        (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(c), ', ') FROM pg_catalog.unnest(columns) AS c),
        names.nspname, names.relname
    );
    IF pg_catalog.has_schema_privilege('freshet_worker', names.schema_oid, 'USAGE') THEN
        RETURN;
    END IF;
    IF NOT pg_catalog.pg_has_role(CURRENT_USER, names.nspowner, 'USAGE') THEN
        RAISE EXCEPTION 'freshet_worker has no USAGE on schema %, and % may not grant it',
            pg_catalog.quote_ident(names.nspname), pg_catalog.quote_ident(CURRENT_USER)
            USING ERRCODE = 'insufficient_privilege',
                  HINT = pg_catalog.format(
                      'Have the owner of the schema run GRANT USAGE ON SCHEMA %I TO freshet_worker.', names.nspname
                  );
    END IF;
    EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA %I TO freshet_worker', names.nspname);
END
$function$;
COMMENT ON FUNCTION freshet.let_worker_read(regclass, name[]) IS 'Grants freshet_worker these columns. Internal.';

-- What attach installs: every trigger, the body of its function, and how it is declared.
CREATE FUNCTION freshet.planned_triggers(
    detector_id name,
    workflow_id name,
    workflow_environment name,
    link_detector name,
    link_workflow name,
    level text
) RETURNS TABLE (subject text, trigger_name text, source text, declaration text)
LANGUAGE sql IMMUTABLE SET search_path = freshet, pg_temp AS $function$
    SELECT
        t.subject,
        pg_catalog.format('freshet_%s_%s', t.subject, e.event),
        freshet.trigger_source(
            t.subject, e.event, t.id_column, t.environment_column, t.detector_column, t.workflow_column
        ),
        e.declaration
    FROM (
        VALUES
            ('detector', detector_id, NULL, NULL, NULL),
            ('workflow', workflow_id, workflow_environment, NULL, NULL),
            ('link', NULL, NULL, link_detector, link_workflow)
    ) AS t (subject, id_column, environment_column, detector_column, workflow_column)
    JOIN (
        VALUES
            -- A new detector has no entry that could be wrong.
            ('statement', false, 'insert', 'AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT'),
            ('statement', true, 'update',
                'AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT'),
            ('statement', true, 'delete', 'AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT'),
            ('row', NULL, 'row', 'AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW'),
            -- TRUNCATE has no row triggers; a replication apply process fires this one too.
            (NULL, true, 'truncate', 'AFTER TRUNCATE ON %s FOR EACH STATEMENT')
    ) AS e (level, for_detector, event, declaration)
        ON COALESCE(e.level, planned_triggers.level) = planned_triggers.level
        AND (t.subject <> 'detector' OR e.for_detector IS DISTINCT FROM false)
    ORDER BY 1, 2
$function$;
COMMENT ON FUNCTION freshet.planned_triggers(name, name, name, name, name, text) IS 'What freshet.attach() installs.';

-- Attaches the three tables. Returns true if anything was changed, false if all was as wanted already; so it may be
-- called at every deployment. Called again it mends: missing or disabled triggers, a swapped table, other columns,
-- another level, and functions generated by an older version.
CREATE FUNCTION freshet.attach(
    detector regclass,
    workflow regclass,
    link regclass,
    detector_id name DEFAULT 'id',
    workflow_id name DEFAULT 'id',
    workflow_environment name DEFAULT 'environment_id',
    link_detector name DEFAULT 'detector_id',
    link_workflow name DEFAULT 'workflow_id',
    level text DEFAULT 'statement',
    lock_tries integer DEFAULT 1000
) RETURNS boolean
LANGUAGE plpgsql SET search_path = freshet, pg_temp AS $function$
DECLARE
    subjects constant text[] := ARRAY['detector', 'workflow', 'link'];
    relations constant regclass[] := ARRAY[detector, workflow, link];
    names text[];
    others text;
    stale text[];
    item record;
BEGIN
    IF attach.level IS NULL OR attach.level NOT IN ('statement', 'row') THEN
        RAISE EXCEPTION 'level % is not known', COALESCE(pg_catalog.quote_literal(attach.level), 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Use ''statement'', or ''row'' where a logical replication subscription writes the tables.';
    END IF;
    IF detector = workflow OR workflow = link OR detector = link THEN
        RAISE EXCEPTION 'detector, workflow and link must be three tables'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give each table once.';
    END IF;
    PERFORM pg_catalog.pg_advisory_xact_lock(28836227677971828);

    -- May these tables be attached at all?
    names := ARRAY[
        freshet.check_table('detector', detector, ARRAY[detector_id]),
        freshet.check_table('workflow', workflow, ARRAY[workflow_id, workflow_environment]),
        freshet.check_table('link', link, ARRAY[link_detector, link_workflow])
    ];
    IF attach.level = 'statement'
        AND EXISTS (SELECT FROM pg_catalog.pg_subscription_rel AS r WHERE r.srrelid = ANY (relations))
    THEN
        RAISE EXCEPTION 'a subscription writes these tables, and fires no statement triggers'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Call freshet.attach(..., level => ''row'').';
    END IF;
    SELECT pg_catalog.string_agg(pg_catalog.format('%I.%I (%s)', o.schema_name, o.table_name, o.subject), ', ')
    INTO others
    FROM freshet.attachment AS o
    WHERE names[pg_catalog.array_position(subjects, o.subject)]
        <> pg_catalog.format('%I.%I', o.schema_name, o.table_name);
    IF others IS NOT NULL THEN
        RAISE EXCEPTION 'other tables are attached: %', others
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Run SELECT freshet.detach() first; in one transaction with attach, no change is missed.';
    END IF;

    -- Is all as wanted already?
    IF (SELECT pg_catalog.bool_and(v.ok OR v.triggers_enabled AND v.problem LIKE 'row-level security%')
        FROM freshet.attached AS v)
        AND NOT EXISTS (
            SELECT FROM freshet.attachment AS o
            WHERE (o.level, o.subject, o.id_column, o.environment_column, o.detector_column, o.workflow_column)
                IS DISTINCT FROM (
                    attach.level,
                    o.subject,
                    CASE o.subject WHEN 'detector' THEN detector_id WHEN 'workflow' THEN workflow_id END,
                    CASE o.subject WHEN 'workflow' THEN workflow_environment END,
                    CASE o.subject WHEN 'link' THEN link_detector END,
                    CASE o.subject WHEN 'link' THEN link_workflow END
                )
        )
        AND NOT EXISTS (
            SELECT
            FROM freshet.planned_triggers(
                detector_id, workflow_id, workflow_environment, link_detector, link_workflow, attach.level
            ) AS w
            LEFT JOIN pg_catalog.pg_trigger AS t
                ON t.tgrelid = relations[pg_catalog.array_position(subjects, w.subject)] AND t.tgname = w.trigger_name
            LEFT JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
            WHERE p.prosrc IS DISTINCT FROM w.source
        )
        AND freshet.worker_may_read(workflow, ARRAY[workflow_id, workflow_environment])
        AND freshet.worker_may_read(link, ARRAY[link_detector, link_workflow])
    THEN
        RETURN false;
    END IF;

    -- Triggers of ours that are not wanted any more: those of the other level.
    SELECT pg_catalog.array_agg(pg_catalog.format('DROP TRIGGER %I ON %s', t.tgname, names[r.place]))
    INTO stale
    FROM pg_catalog.unnest(relations) WITH ORDINALITY AS r (relation, place)
    JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = r.relation AND NOT t.tgisinternal
    JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname = 'freshet'
        AND t.tgname NOT IN (
            SELECT w.trigger_name
            FROM freshet.planned_triggers(
                detector_id, workflow_id, workflow_environment, link_detector, link_workflow, attach.level
            ) AS w
            WHERE w.subject = subjects[r.place]
        );
    PERFORM freshet.lock_tables(
        names, CASE WHEN stale IS NULL THEN 'SHARE ROW EXCLUSIVE' ELSE 'ACCESS EXCLUSIVE' END, lock_tries
    );
    -- The names were looked up before there was a lock.
    IF names <> ARRAY[
        freshet.check_table('detector', detector, ARRAY[detector_id]),
        freshet.check_table('workflow', workflow, ARRAY[workflow_id, workflow_environment]),
        freshet.check_table('link', link, ARRAY[link_detector, link_workflow])
    ] THEN
        RAISE EXCEPTION 'a table was renamed meanwhile' USING ERRCODE = 'lock_not_available', HINT = 'Call it again.';
    END IF;

    FOR item IN SELECT s.command FROM pg_catalog.unnest(stale) AS s (command) LOOP
        EXECUTE item.command;
    END LOOP;
    FOR item IN
        SELECT
            w.trigger_name,
            pg_catalog.substr(w.trigger_name, pg_catalog.length('freshet_') + 1) AS function_name,
            w.source,
            names[pg_catalog.array_position(subjects, w.subject)] AS table_name,
            w.declaration
        FROM freshet.planned_triggers(
            detector_id, workflow_id, workflow_environment, link_detector, link_workflow, attach.level
        ) AS w
    LOOP
        EXECUTE pg_catalog.format(
            'CREATE OR REPLACE FUNCTION freshet.%I() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER '
            'SET search_path = freshet, pg_temp AS %L',
            item.function_name, item.source
        );
        EXECUTE pg_catalog.format('ALTER FUNCTION freshet.%I() OWNER TO freshet_owner', item.function_name);
        EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION freshet.%I() FROM PUBLIC', item.function_name);
        -- OR REPLACE and ENABLE: SHARE ROW EXCLUSIVE, which we hold.
        EXECUTE pg_catalog.format(
            'CREATE OR REPLACE TRIGGER %I %s EXECUTE FUNCTION freshet.%I()',
            item.trigger_name, pg_catalog.format(item.declaration, item.table_name), item.function_name
        );
        -- ALWAYS: also under session_replication_role = replica, which restores and replication apply use.
        EXECUTE pg_catalog.format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', item.table_name, item.trigger_name);
    END LOOP;

    PERFORM freshet.let_worker_read(workflow, ARRAY[workflow_id, workflow_environment]);
    PERFORM freshet.let_worker_read(link, ARRAY[link_detector, link_workflow]);

    DELETE FROM freshet.attachment;
    INSERT INTO freshet.attachment (
        subject, schema_name, table_name, id_column, environment_column, detector_column, workflow_column,
        level, trigger_names
    )
    SELECT
        k.subject, n.nspname, c.relname, k.id_column, k.environment_column, k.detector_column, k.workflow_column,
        attach.level, pg_catalog.array_agg(w.trigger_name ORDER BY w.trigger_name)
    FROM (
        VALUES
            ('detector', detector, detector_id, NULL, NULL, NULL),
            ('workflow', workflow, workflow_id, workflow_environment, NULL, NULL),
            ('link', link, NULL, NULL, link_detector, link_workflow)
    ) AS k (subject, relation, id_column, environment_column, detector_column, workflow_column)
    JOIN pg_catalog.pg_class AS c ON c.oid = k.relation
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    JOIN freshet.planned_triggers(
        detector_id, workflow_id, workflow_environment, link_detector, link_workflow, attach.level
    ) AS w ON w.subject = k.subject
    GROUP BY 1, 2, 3, 4, 5, 6, 7;

    PERFORM freshet.journal('namespace', 'attach');
    RETURN true;
END
$function$;
COMMENT ON FUNCTION freshet.attach(regclass, regclass, regclass, name, name, name, name, name, text, integer) IS
    'Puts the triggers on the three tables, or mends them. True if anything was changed.';

-- Takes the triggers off, wherever there are any (a copy that a migration left behind has them too), and drops their
-- functions. Returns false if there was nothing to do.
CREATE FUNCTION freshet.detach(lock_tries integer DEFAULT 1000) RETURNS boolean
LANGUAGE plpgsql SET search_path = freshet, pg_temp AS $function$
DECLARE
    names text[];
    commands text[];
    item record;
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock(28836227677971828);

    SELECT
        pg_catalog.array_agg(DISTINCT pg_catalog.format('%I.%I', tn.nspname, c.relname)),
        pg_catalog.array_agg(pg_catalog.format('DROP TRIGGER IF EXISTS %I ON %I.%I', t.tgname, tn.nspname, c.relname))
    INTO names, commands
    FROM pg_catalog.pg_trigger AS t
    JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace AND n.nspname = 'freshet'
    JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
    JOIN pg_catalog.pg_namespace AS tn ON tn.oid = c.relnamespace
    WHERE NOT t.tgisinternal;
    IF names IS NULL AND NOT EXISTS (SELECT FROM freshet.attachment) THEN
        RETURN false;
    END IF;

    IF names IS NOT NULL THEN
        PERFORM freshet.lock_tables(names, 'ACCESS EXCLUSIVE', lock_tries);
        FOR item IN SELECT s.command FROM pg_catalog.unnest(commands) AS s (command) LOOP
            EXECUTE item.command;
        END LOOP;
    END IF;
    FOR item IN
        SELECT p.proname
        FROM pg_catalog.pg_proc AS p
        JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
        WHERE n.nspname = 'freshet' AND p.prorettype = 'pg_catalog.trigger'::pg_catalog.regtype
    LOOP
        EXECUTE pg_catalog.format('DROP FUNCTION freshet.%I()', item.proname);
    END LOOP;

    -- What attach granted, where we may take it back: the role is Freshet's own.
    FOR item IN
        SELECT a.schema_name, a.table_name, n.nspowner, c.oid AS relation
        FROM freshet.attachment AS a
        JOIN pg_catalog.pg_namespace AS n ON n.nspname = a.schema_name
        LEFT JOIN pg_catalog.pg_class AS c
            ON c.relnamespace = n.oid AND c.relname = a.table_name AND c.relkind IN ('r', 'p')
        WHERE a.subject <> 'detector'
    LOOP
        IF item.relation IS NOT NULL THEN
            EXECUTE pg_catalog.format('REVOKE SELECT ON %I.%I FROM freshet_worker', item.schema_name, item.table_name);
        END IF;
        IF pg_catalog.pg_has_role(CURRENT_USER, item.nspowner, 'USAGE') THEN
            EXECUTE pg_catalog.format('REVOKE USAGE ON SCHEMA %I FROM freshet_worker', item.schema_name);
        END IF;
    END LOOP;

    DELETE FROM freshet.attachment;
    PERFORM freshet.journal('namespace', 'detach');
    RETURN true;
END
$function$;
COMMENT ON FUNCTION freshet.detach(integer) IS 'Takes the triggers off the attached tables. True if there were any.';

-- The same, for scripts that want to be sure which tables they mean.
CREATE FUNCTION freshet.detach(
    detector regclass,
    workflow regclass,
    link regclass,
    lock_tries integer DEFAULT 1000
) RETURNS boolean
LANGUAGE plpgsql SET search_path = freshet, pg_temp AS $function$
DECLARE
    others text;
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock(28836227677971828);
    SELECT pg_catalog.string_agg(pg_catalog.format('%I.%I (%s)', a.schema_name, a.table_name, a.subject), ', ')
    INTO others
    FROM freshet.attachment AS a
    LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname = a.schema_name
    LEFT JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = a.table_name
    WHERE c.oid IS DISTINCT FROM
        CASE a.subject WHEN 'detector' THEN detector WHEN 'workflow' THEN workflow WHEN 'link' THEN link END;
    IF others IS NOT NULL THEN
        RAISE EXCEPTION 'other tables are attached: %', others
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Name those, or run SELECT freshet.detach() for whatever is attached.';
    END IF;
    RETURN freshet.detach(lock_tries);
END
$function$;
COMMENT ON FUNCTION freshet.detach(regclass, regclass, regclass, integer) IS
    'Takes the triggers off these tables, or fails if others are attached.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA freshet FROM PUBLIC;
